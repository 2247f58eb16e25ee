package httpx

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Prefix lets clients reach a server below a path, such as https://example.com/photos/. The zero value does nothing.
type Prefix struct {
	// Base is the path without a slash at its end, such as "/photos". Requests are served with and without it, so it
	// does not matter whether a proxy removes it, and probes need not know it.
	Base string
	// Trusts reports whether X-Forwarded-Prefix of a request is believed. Nil means never: a client could otherwise
	// have addresses of its choice in its responses.
	Trusts func(*http.Request) bool
}

// maxPrefix limits the length of a prefix in bytes.
const maxPrefix = 256

// ParsePrefix returns a prefix in the form of [Prefix.Base]. The empty text and "/" mean none.
func ParsePrefix(text string) (string, error) {
	prefix := strings.TrimSuffix(text, "/")
	if prefix == "" {
		return "", nil
	}
	ordinary := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._~/", c)
	}
	if len(prefix) > maxPrefix || prefix[0] != '/' || strings.Trim(prefix, "/") != prefix[1:] || strings.Contains(prefix, "//") ||
		strings.IndexFunc(prefix, func(c rune) bool { return !ordinary(c) }) >= 0 {
		return "", fmt.Errorf("path %q: want a path of letters, digits and -._~, such as /photos", text)
	}
	for part := range strings.SplitSeq(prefix[1:], "/") {
		if strings.Trim(part, ".") == "" {
			return "", fmt.Errorf("path %q: it has a part of dots only", text)
		}
	}
	return prefix, nil
}

type prefixKey struct{}

// PrefixOf returns what to put before the paths of links in a response, such as "/photos"; mostly it is empty.
func PrefixOf(ctx context.Context) string {
	prefix, _ := ctx.Value(prefixKey{}).(string)
	return prefix
}

// Handler removes the prefix from the paths of requests, and makes it known to [PrefixOf].
func (p Prefix) Handler(next http.Handler) http.Handler {
	if p.Base == "" && p.Trusts == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded := p.forwarded(r)
		rest, below := strings.CutPrefix(r.URL.Path, p.Base)
		below = below && p.Base != "" && (rest == "" || rest[0] == '/')
		shown := forwarded // the path that the client sees
		if below || forwarded == "" {
			shown += p.Base
		}
		if below && rest == "" { // relative addresses of the page need the slash
			target := shown + "/"
			if r.URL.RawQuery != "" {
				target += "?" + r.URL.RawQuery
			}
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		if !below && shown == "" {
			next.ServeHTTP(w, r)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), prefixKey{}, shown))
		if below {
			address := *r.URL // r has it in common with the caller's request
			address.Path, address.RawPath = rest, strings.TrimPrefix(r.URL.RawPath, p.Base)
			r.URL = &address
		}
		next.ServeHTTP(w, r)
	})
}

// forwarded returns the prefix that a trusted proxy has removed.
func (p Prefix) forwarded(r *http.Request) string {
	header := r.Header.Get("X-Forwarded-Prefix")
	if header == "" || p.Trusts == nil || !p.Trusts(r) {
		return ""
	}
	prefix, err := ParsePrefix(header)
	if err != nil {
		return "" // the proxy's mistake; without it, the page still works
	}
	return prefix
}
