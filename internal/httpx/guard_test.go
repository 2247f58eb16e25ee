package httpx_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// guarded serves one request that arrives at the local address.
func guarded(g httpx.Guard, local string, r *http.Request) *httptest.ResponseRecorder {
	handler := g.Handler(slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		httpx.WriteJSON(w, http.StatusOK, "served")
	}))
	addr := &net.TCPAddr{IP: net.ParseIP(local), Port: 8080}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr))))
	return w
}

// refusedWith reports whether the response is a 403 in the format of errors.
func refusedWith(t *testing.T, w *httptest.ResponseRecorder, hint string) bool {
	t.Helper()
	if w.Code != http.StatusForbidden {
		return false
	}
	var body httpx.ErrorBody
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Code != resnet18cloud.CodeForbidden || !strings.Contains(body.Hint, hint) {
		t.Errorf("403 with %s, want code forbidden and a hint with %s", w.Body, hint)
	}
	return true
}

// TestGuardChecksHost checks that on a loopback address only names of this machine are served: a page whose name
// resolves to 127.0.0.1 would otherwise be of the server's own origin.
func TestGuardChecksHost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		local, host string
		hosts       []string
		served      bool
	}{
		{"127.0.0.1", "127.0.0.1:8080", nil, true},
		{"127.0.0.1", "localhost:8080", nil, true},
		{"127.0.0.1", "LOCALHOST.", nil, true},
		{"127.0.0.1", "app.localhost", nil, true},
		{"127.0.0.1", "127.9.9.9", nil, true},
		{"127.0.0.1", "[::1]:8080", nil, true},
		{"::1", "[::1]", nil, true},
		{"::1", "localhost", nil, true},
		{"127.0.0.1", "[::ffff:127.0.0.1]:80", nil, true},
		{"127.0.0.1", "", nil, true},
		{"127.0.0.1", "evil.example:8080", nil, false},
		{"::1", "evil.example", nil, false},
		{"127.0.0.1", "localhost.evil.example", nil, false},
		{"127.0.0.1", "evillocalhost", nil, false},
		{"127.0.0.1", "127.0.0.1.evil.example", nil, false},
		{"127.0.0.1", "10.0.0.1", nil, false},
		{"127.0.0.1", "0.0.0.0:8080", nil, false},
		{"127.0.0.1", strings.Repeat("x", 10000), nil, false},
		{"127.0.0.1", "photos.example", []string{"photos.example"}, true},
		{"127.0.0.1", "PHOTOS.example:443", []string{"other.example", "photos.example"}, true},
		{"127.0.0.1", "evil.example", []string{"photos.example"}, false},
		{"127.0.0.1", "evil.example", []string{"*"}, true},
		{"10.0.0.7", "dispatcher-service:8080", nil, true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = test.host
		w := guarded(httpx.Guard{Hosts: test.hosts}, test.local, r)
		if refused := refusedWith(t, w, "--allow-host"); refused == test.served {
			t.Errorf("Host %.50q at %s with hosts %v: %d, want it served %t", test.host, test.local, test.hosts, w.Code, test.served)
		}
		if w.Body.Len() > 1000 {
			t.Errorf("the response to Host %.50q has %d bytes", test.host, w.Body.Len())
		}
	}
}

// TestGuardChecksOrigin sends what browsers send with forms, scripts and preflights of pages.
func TestGuardChecksOrigin(t *testing.T) {
	t.Parallel()
	const own, other = "http://localhost:8080", "https://photos.example"
	for name, test := range map[string]struct {
		method  string
		headers map[string]string
		origins []string
		served  bool
		allowed string // Access-Control-Allow-Origin
	}{
		"curl":                       {"POST", nil, nil, true, ""},
		"own page":                   {"POST", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": own}, nil, true, ""},
		"own page, old browser":      {"POST", map[string]string{"Origin": own}, nil, true, ""},
		"form of another site":       {"POST", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": other}, nil, false, ""},
		"form of another port":       {"POST", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, nil, false, ""},
		"form, old browser":          {"POST", map[string]string{"Origin": other}, nil, false, ""},
		"form without origin":        {"POST", map[string]string{"Origin": "null"}, nil, false, ""},
		"DELETE of another site":     {"DELETE", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": other}, nil, false, ""},
		"image of another site":      {"GET", map[string]string{"Sec-Fetch-Site": "cross-site"}, nil, true, ""},
		"script of another site":     {"GET", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": other}, nil, true, ""},
		"allowed script":             {"GET", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": other}, []string{other}, true, other},
		"allowed post":               {"POST", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": other}, []string{"https://a.example", other}, true, other},
		"post of one not allowed":    {"POST", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": other}, []string{"https://a.example"}, false, ""},
		"any":                        {"POST", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": other}, []string{"*"}, true, "*"},
		"preflight":                  {"OPTIONS", map[string]string{"Access-Control-Request-Method": "POST", "Origin": other}, nil, false, ""},
		"allowed preflight":          {"OPTIONS", map[string]string{"Access-Control-Request-Method": "POST", "Origin": other}, []string{other}, true, other},
		"preflight of another":       {"OPTIONS", map[string]string{"Access-Control-Request-Method": "POST", "Origin": own}, []string{other}, false, ""},
		"OPTIONS without a question": {"OPTIONS", nil, nil, true, ""},
	} {
		r := httptest.NewRequest(test.method, own+"/predict", nil)
		for header, value := range test.headers {
			r.Header.Set(header, value)
		}
		w := guarded(httpx.Guard{Origins: test.origins}, "127.0.0.1", r)
		if refused := refusedWith(t, w, "--cors-origin"); refused == test.served {
			t.Errorf("%s: %d %s, want it served %t", name, w.Code, w.Body, test.served)
		}
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != test.allowed {
			t.Errorf("%s: Access-Control-Allow-Origin %q, want %q", name, got, test.allowed)
		}
		if preflight := test.method == "OPTIONS" && test.headers != nil && test.served; preflight &&
			(w.Code != http.StatusNoContent || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") ||
				!strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), "POST")) {
			t.Errorf("%s: %d %v, want 204 and what is allowed", name, w.Code, w.Header())
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v, want nosniff and no-store", name, w.Header())
		}
	}
}

func TestGuardValidate(t *testing.T) {
	t.Parallel()
	for _, good := range []httpx.Guard{{}, {Origins: []string{"*", "https://a.example", "http://localhost:3000"}, Hosts: []string{"*", "a.example"}}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []httpx.Guard{{Origins: []string{"a.example"}}, {Origins: []string{"https://a.example/"}}, {Origins: []string{"https://a.example/x"}},
		{Origins: []string{"https://u@a.example"}}, {Origins: []string{""}}, {Hosts: []string{"https://a"}}, {Hosts: []string{"a:80"}}, {Hosts: []string{""}}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// TestGuardIsLenientToHandlers checks that a handler decides whether its response may be stored.
func TestGuardIsLenientToHandlers(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	httpx.Guard{}.Handler(slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
	})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if got := w.Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("Cache-Control %q, want the handler's", got)
	}
}
