package access

import (
	"context"
	"errors"
)

// Client is what a key says about the client that presents it.
type Client struct {
	Name     string  // owner of the results; several keys may have the same name
	Scopes   Scopes  // what it may do
	Rate     float64 // images per second; 0 means no limit of its own
	InFlight int     // accepted requests that have not ended; 0 means no limit of its own
}

// Admin reports whether the client may do everything.
func (c Client) Admin() bool { return c.Scopes.Allow(Admin) }

type clientKey struct{}

// NewContext returns a context with the client that sent a request.
func NewContext(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// FromContext returns the client that sent the request. ok is false if the server has no keys, or if the request needed
// none.
func FromContext(ctx context.Context) (c Client, ok bool) {
	c, ok = ctx.Value(clientKey{}).(Client)
	return c, ok
}

// MaxNameBytes is the maximum length of a client's name.
const MaxNameBytes = 64

// errName does not repeat the name: it may be a token in the wrong place.
var errName = errors.New("a name must have 1 to 64 letters, digits and . _ -, and begin with a letter or digit")

// CheckName returns an error unless name is valid. Names appear in logs, in message headers and in keys files, so they
// have no spaces and no special characters.
func CheckName(name string) error {
	if name == "" || len(name) > MaxNameBytes || looksLikeToken(name) {
		return errName
	}
	for i := range len(name) {
		c := name[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && (i == 0 || c != '.' && c != '_' && c != '-') {
			return errName
		}
	}
	return nil
}
