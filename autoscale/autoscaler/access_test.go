package autoscaler

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
)

// TestRoutesNeedKeys checks for each endpoint which scopes permit it.
func TestRoutesNeedKeys(t *testing.T) {
	t.Parallel()
	a := newAutoscaler(t, Config{Scaler: newScaler(1), NewPolicy: wants(1), Dispatchers: []string{"http://127.0.0.1:1"}, Access: accesstest.Guard(t)})
	public, _ := a.routes()
	accesstest.CheckRoutes(t, public, map[string][]string{
		"GET /decisions": accesstest.Admins, "GET /explain": accesstest.Admins, "GET /summary": accesstest.Admins, "GET /": accesstest.Everyone, "GET /metrics": accesstest.Readers, "GET /health": accesstest.Everyone,
	})
}

// TestSendsToken checks that dispatchers get the token of the moment, and that a refusal names the option.
func TestSendsToken(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer second":
			_, _ = w.Write([]byte("{}"))
		case "Bearer first":
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	token := ""
	a := newAutoscaler(t, Config{Scaler: newScaler(1), NewPolicy: wants(1), Dispatchers: []string{server.URL}, Token: func() string { return token }})
	for _, next := range []string{"first", "second"} {
		if err := a.collect.poll(t.Context()); err == nil || !strings.Contains(err.Error(), "--token-file") {
			t.Errorf("with token %q: %v, want the option", token, err)
		}
		token = next
	}
	if err := a.collect.poll(t.Context()); err != nil {
		t.Errorf("with token %q: %v", token, err)
	}
}
