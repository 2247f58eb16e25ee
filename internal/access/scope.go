package access

import (
	"errors"
	"strings"
)

// Scopes is a set of permissions. The zero value permits nothing.
type Scopes uint8

// The scopes.
const (
	Predict Scopes = 1 << iota // send images; read, list and cancel the results of the same client
	Read                       // read results of the same client, and the state: queue, replicas, counts, metrics
	Admin                      // everything, for the results of all clients
)

// scopeNames are the names of the scopes, in the order of their bits.
var scopeNames = [...]string{"predict", "read", "admin"}

// Allow reports whether s has at least one of the scopes in need. Admin includes all scopes.
func (s Scopes) Allow(need Scopes) bool { return s&(need|Admin) != 0 }

// String returns the names of the scopes, separated by commas.
func (s Scopes) String() string {
	var names []string
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// errScopes does not repeat the text: it may be a token in the wrong place.
var errScopes = errors.New("scopes must be predict, read or admin, separated by commas")

// ParseScopes parses names of scopes, separated by commas.
func ParseScopes(text string) (Scopes, error) {
	var s Scopes
	for name := range strings.SplitSeq(text, ",") {
		scope, ok := parseScope(strings.TrimSpace(name))
		if !ok {
			return 0, errScopes
		}
		s |= scope
	}
	return s, nil
}

func parseScope(name string) (Scopes, bool) {
	for i, known := range scopeNames {
		if name == known {
			return 1 << i, true
		}
	}
	return 0, false
}
