package httpx

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/resnet18cloud/resnet18cloud"
)

// TestErrorsOfNetHTTP checks that errors which the mux or a file server writes have the form of all others, and that other
// responses stay as they are.
func TestErrorsOfNetHTTP(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
	files := http.StripPrefix("/page/", http.FileServerFS(fstest.MapFS{"app.js": {Data: []byte("script")}}))
	mux.Handle("GET /page/", TextErrors(files))
	mux.Handle("GET /page/text", TextErrors(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "teapot")
	})))
	mux.Handle("GET /page/twice", TextErrors(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "one", http.StatusForbidden)
		http.Error(w, "two", http.StatusGone)
	})))
	h := JSONErrors(mux)
	for _, test := range []struct {
		request string // method, path and Range
		status  int
		code    resnet18cloud.Code // "": not an error of ours
		text    string             // in the body or Location
	}{
		{"GET /status", 200, "", "fine"},
		{"GET /nowhere", 404, "not_found", "No such endpoint: /nowhere"},
		{"GET //nowhere", 404, "not_found", "No such endpoint: //nowhere"},
		{"GET /a/../nowhere", 404, "not_found", "No such endpoint: /a/../nowhere"},
		{"GET //status", 307, "", "/status"},
		{"GET /status/", 404, "not_found", "No such endpoint: /status/"},
		{"POST /status", 405, "invalid", `"hint":"allowed: GET, HEAD"`},
		{"POST //status", 404, "not_found", "No such endpoint: //status"},
		{"GET /page", 307, "", "/page/"},
		{"GET /page/app.js", 200, "", "script"},
		{"GET /page/app.js bytes=1-2", 206, "", "cr"},
		{"GET /page/app.js bytes=99-", 416, "invalid", "Requested Range Not Satisfiable"},
		{"GET /page/none.js", 404, "not_found", "No such file: /page/none.js"},
		{"GET /page/" + strings.Repeat("n", 9000), 404, "not_found", "... (9006 bytes)"},
		{"POST /page/app.js", 405, "invalid", "POST is not allowed here"},
		{"GET /page/text", 418, "", "teapot"},
		{"GET /page/twice", 403, "forbidden", `"error":"Forbidden"`},
	} {
		method, rest, _ := strings.Cut(test.request, " ")
		path, span, _ := strings.Cut(rest, " ")
		r := httptest.NewRequest(method, "/", nil)
		r.URL.Path = path
		r.Header.Set("Range", span)
		if span == "" {
			r.Header.Del("Range")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var e ErrorBody
		err := json.Unmarshal(w.Body.Bytes(), &e)
		if w.Code != test.status || e.Code != test.code || !strings.Contains(w.Body.String()+w.Header().Get("Location"), test.text) {
			t.Errorf("%.60s: %d %.200s, want %d, code %q and %q", test.request, w.Code, w.Body, test.status, test.code, test.text)
		}
		if ours := test.code != ""; ours && (err != nil || w.Result().Header.Get("Content-Type") != "application/json" || w.Header().Get("Location") != "") {
			t.Errorf("%.60s: %v, headers %v, want JSON without a Location", test.request, err, w.Header())
		}
	}
}
