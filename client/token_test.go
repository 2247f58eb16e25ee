package client_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
)

// TestToken checks that every request has the token and the headers, and that a refusal has its code.
func TestToken(t *testing.T) {
	t.Parallel()
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if r.Header.Get("Authorization") != "Bearer r18_x" || r.Header.Get("X-Tenant") != "a" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	header := http.Header{"x-tenant": {"a"}}
	for _, test := range []struct {
		client *client.Client
		want   resnet18cloud.Code
	}{
		{&client.Client{BaseURL: server.URL, HTTP: server.Client(), Token: "r18_x\n", Header: header}, resnet18cloud.CodeForbidden},
		{&client.Client{BaseURL: server.URL, HTTP: server.Client(), Header: header}, resnet18cloud.CodeUnauthorized},
	} {
		_, errs := test.client.Submit(t.Context(), picture("a.jpg"), client.Options{})
		_, errp := test.client.Predict(t.Context(), picture("a.jpg"), client.Options{})
		_, errr := test.client.Result(t.Context(), "id", 0)
		_, errc := test.client.Cancel(t.Context(), "id")
		for name, err := range map[string]error{"Submit": errs, "Predict": errp, "Result": errr, "Cancel": errc, "Healthy": test.client.Healthy(t.Context())} {
			if codeOf(err) != test.want {
				t.Errorf("%s with token %q: %v, want %s", name, test.client.Token, err, test.want)
			}
		}
	}
	if requests != 10 {
		t.Errorf("%d requests, want 10", requests)
	}
}
