package access

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/reread"
)

// Guard admits clients by the keys of a file. Create it with [Open]. A nil Guard admits everyone. It is safe for
// concurrent use.
type Guard struct {
	path string
	log  *slog.Logger

	// What Run last saw; used by Open and Run alone.
	content string
	problem string

	mu     sync.RWMutex
	keys   Keys // guarded by mu: those of the file
	issued Keys // guarded by mu: those of Issue
}

// Open reads the keys of a file, or of all files in a folder, and returns an error if there is none or one is invalid.
// Nil discards the log.
func Open(path string, log *slog.Logger) (*Guard, error) {
	g := &Guard{path: path, log: cmp.Or(log, slog.New(slog.DiscardHandler))}
	var err error
	if g.keys, g.content, err = readKeys(path); err != nil {
		return nil, err
	}
	return g, nil
}

// Keys returns the keys that are valid now, without those of Issue.
func (g *Guard) Keys() Keys {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.keys
}

// Run follows changes of the file until ctx ends: new keys are valid and removed ones invalid within seconds. If a
// changed file is invalid or missing, the previous keys stay valid, and the problem is logged once.
func (g *Guard) Run(ctx context.Context) error {
	reread.Every(ctx, func(time.Time) { g.look(ctx) })
	return nil
}

// look reads the file.
func (g *Guard) look(ctx context.Context) {
	var keys Keys
	var content string
	err := reread.Check(g.path)
	if err == nil {
		keys, content, err = readKeys(g.path)
	}
	switch {
	case err != nil:
		if err.Error() != g.problem {
			g.log.ErrorContext(ctx, "the changed keys are not used; the previous keys stay valid", "error", err)
		}
		g.problem = err.Error()
		return
	case content == g.content && g.problem == "":
		return
	}
	g.content, g.problem = content, ""
	g.mu.Lock()
	g.keys = keys
	g.mu.Unlock()
	g.log.InfoContext(ctx, "keys were read again", "keys", len(keys))
}

// Issue returns the token of a new key that is valid in this process only, for parts of the process that are clients of
// it.
func (g *Guard) Issue(c Client) (token string) {
	token = NewToken()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.issued = append(g.issued, Key{Client: c, Hash: HashOf(token)})
	return token
}

// find returns the client with the token.
func (g *Guard) find(token string) (Client, bool) {
	g.mu.RLock()
	keys, issued := g.keys, g.issued
	g.mu.RUnlock()
	c, known := keys.Find(token)
	own, ours := issued.Find(token)
	if ours {
		return own, true
	}
	return c, known
}

// Require returns a handler that calls h for clients that have at least one of the scopes in need, with the client in
// the request's context. Others get 401 or 403, before their request's body is read. If need is 0, or the Guard is nil,
// it returns h.
func (g *Guard) Require(need Scopes, h httpx.HandlerFunc) httpx.HandlerFunc {
	if g == nil || need == 0 {
		return h
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		c, refusal := g.admit(r.Header, need)
		if refusal != nil {
			w.Header().Set("WWW-Authenticate", refusal.challenge)
			return &refusal.Error
		}
		return h(w, r.WithContext(NewContext(r.Context(), c)))
	}
}

// refused is an error with its challenge for the client, a WWW-Authenticate header (RFC 6750, section 3).
type refused struct {
	resnet18cloud.Error
	challenge string
}

const (
	challenge = `Bearer realm="resnet18cloud"`
	hintToken = "send the header Authorization: Bearer TOKEN"
)

// admit decides about a request by its headers.
func (g *Guard) admit(h http.Header, need Scopes) (Client, *refused) {
	token, ok := bearer(h)
	if !ok {
		return Client{}, &refused{resnet18cloud.Error{Code: resnet18cloud.CodeUnauthorized, Message: "A key is required", Hint: hintToken}, challenge}
	}
	c, ok := g.find(token)
	switch {
	case !ok:
		return Client{}, &refused{resnet18cloud.Error{Code: resnet18cloud.CodeUnauthorized, Message: "The key is not valid",
			Hint: "it may have been replaced: ask the operator for another one"}, challenge + `, error="invalid_token"`}
	case !c.Scopes.Allow(need):
		return Client{}, &refused{resnet18cloud.Error{Code: resnet18cloud.CodeForbidden, Message: "The key does not permit this",
			Hint: "it has scope " + c.Scopes.String() + "; this needs " + strings.ReplaceAll(need.String(), ",", " or ")},
			challenge + `, error="insufficient_scope", scope="` + strings.ReplaceAll(need.String(), ",", " ") + `"`}
	}
	return c, nil
}

// bearer returns the token of a request. It is not ok if there is none, or more than one header that may have one.
func bearer(h http.Header) (token string, ok bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}
