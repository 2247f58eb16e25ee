package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/reread"
)

// TokenFile is a file with the token that this process sends to another one. Create it with [OpenTokenFile]. A nil
// TokenFile has no token. It is safe for concurrent use.
type TokenFile struct {
	path    string
	log     *slog.Logger
	problem string // logged last; used by Run alone
	token   atomic.Pointer[string]
}

// ReadToken reads a token from a file. Space around it is ignored.
func ReadToken(path string) (string, error) {
	data, err := reread.File(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if err := checkToken(token); err != nil {
		return "", fmt.Errorf("read token: %s: %w", path, err)
	}
	return token, nil
}

// maxTokenBytes limits tokens that were made elsewhere.
const maxTokenBytes = 1024

// checkToken returns an error unless the token can be sent in a header (RFC 6750, section 2.1, b64token). The error does
// not repeat it.
func checkToken(token string) error {
	switch {
	case token == "":
		return errors.New("the file is empty, want a token: 'resnet18cloud keys new' prints one")
	case len(token) > maxTokenBytes:
		return fmt.Errorf("a token has at most %d characters: is this the right file?", maxTokenBytes)
	}
	for i := range len(token) {
		c := token[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/=", c) >= 0) {
			return errors.New("a token is one word of letters, digits and -._~+/=: is this the right file?")
		}
	}
	return nil
}

// OpenTokenFile reads the token. Nil discards the log.
func OpenTokenFile(path string, log *slog.Logger) (*TokenFile, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	token, err := ReadToken(path)
	if err != nil {
		return nil, err
	}
	f := &TokenFile{path: path, log: log}
	f.token.Store(&token)
	return f, nil
}

// Run follows changes of the file until ctx ends. If the file becomes invalid, the previous token is used.
func (f *TokenFile) Run(ctx context.Context) error {
	reread.Every(ctx, func(time.Time) {
		var token string
		err := reread.Check(f.path)
		if err == nil {
			token, err = ReadToken(f.path)
		}
		if err != nil {
			if err.Error() != f.problem {
				f.log.ErrorContext(ctx, "the changed token is not used; the previous one stays in use", "error", err)
			}
			f.problem = err.Error()
			return
		}
		f.problem = ""
		f.token.Store(&token)
	})
	return nil
}

// Token returns the current token; empty for a nil TokenFile.
func (f *TokenFile) Token() string {
	if f == nil {
		return ""
	}
	return *f.token.Load()
}

// SetBearer adds a token to the headers of a request, unless it is empty.
func SetBearer(h http.Header, token string) {
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
}
