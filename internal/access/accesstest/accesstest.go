// Package accesstest provides keys, and checks which of them a server admits. Only tests import it.
package accesstest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
)

// The tokens of Guard's keys. Each is the client's name, except ShopReader, which is a second key of Shop.
const (
	Shop       = "shop"        // scope predict
	Blog       = "blog"        // scope predict
	Monitor    = "monitor"     // scope read
	Ops        = "ops"         // scope admin
	ShopReader = "shop-reader" // scope read
)

// File writes a keys file for Guard's clients and returns its path.
func File(tb testing.TB) string {
	tb.Helper()
	var lines strings.Builder
	for _, k := range []struct {
		name, token string
		scopes      access.Scopes
	}{
		{Shop, Shop, access.Predict}, {Blog, Blog, access.Predict}, {Monitor, Monitor, access.Read}, {Ops, Ops, access.Admin}, {Shop, ShopReader, access.Read},
	} {
		fmt.Fprintln(&lines, access.Key{Client: access.Client{Name: k.name, Scopes: k.scopes}, Hash: access.HashOf(k.token)})
	}
	path := filepath.Join(tb.TempDir(), "keys.txt")
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Guard returns a guard with a key for each of the tokens above.
func Guard(tb testing.TB) *access.Guard {
	tb.Helper()
	g, err := access.Open(File(tb), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// Who may use an endpoint, in CheckRoutes.
var (
	Everyone = []string{"", "wrong", Shop, Monitor, Ops}
	Senders  = []string{Shop, Ops}
	Readers  = []string{Monitor, Ops}
	Known    = []string{Shop, Monitor, Ops}
	Admins   = []string{Ops}
)

// CheckRoutes requests each endpoint, such as "GET /status", without a token and with various ones, and checks that
// exactly the permitted tokens are admitted; others get 401 if the token is not known, and 403 if it lacks the scope.
func CheckRoutes(t *testing.T, h http.Handler, permitted map[string][]string) {
	t.Helper()
	for endpoint, tokens := range permitted {
		for _, token := range Everyone {
			status, challenge := ask(t, h, endpoint, token)
			want := 0 // any other status
			switch {
			case slices.Contains(tokens, token):
			case token == "" || token == "wrong":
				want = http.StatusUnauthorized
			default:
				want = http.StatusForbidden
			}
			refused := status == http.StatusUnauthorized || status == http.StatusForbidden
			if refused != (want != 0) || refused && status != want || refused != strings.HasPrefix(challenge, "Bearer ") {
				t.Errorf("%s with token %q = %d, challenge %q; want %d", endpoint, token, status, challenge, want)
			}
		}
	}
}

// ask sends one request.
func ask(t *testing.T, h http.Handler, endpoint, token string) (status int, challenge string) {
	t.Helper()
	method, path, _ := strings.Cut(endpoint, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, "http://server"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	access.SetBearer(r.Header, token)
	w := recorder{header: http.Header{}}
	h.ServeHTTP(&w, r)
	return w.status, w.header.Get("WWW-Authenticate")
}

// recorder keeps the status and the headers of a response.
type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return len(p), nil
}

// Client returns a client that sends a token with each request of another client.
func Client(token string, base *http.Client) *http.Client {
	c := *base
	c.Transport = transport{token, base.Transport}
	return &c
}

type transport struct {
	token string
	http.RoundTripper
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	access.SetBearer(r.Header, t.token)
	return t.RoundTripper.RoundTrip(r)
}
