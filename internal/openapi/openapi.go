// Package openapi serves the description of an HTTP API in OpenAPI 3.1, for programs and as a page for people. What it
// describes is the caller's. The page is made of the description without scripts, so it works without a network, and its
// addresses are relative, so it works below any path.
package openapi

import (
	"net/http"
	"sync"

	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// Paths are the endpoints of the page, for lists of those that the description leaves out.
func Paths() []string { return []string{"GET /docs", "GET /docs/page.css", "GET /docs/icon.svg"} }

// Add adds GET /openapi.yaml and the page, GET /docs, which need no key. The description is YAML, and must not be modified
// afterwards. The page is made when it is first asked for.
func Add(mux *access.Mux, description []byte) {
	mux.Add("GET /openapi.yaml", access.Anyone, file("application/yaml", description)) // RFC 9512
	rendered := sync.OnceValues(func() ([]byte, error) { return render(description) })
	mux.Add("GET /docs", access.Anyone, func(w http.ResponseWriter, r *http.Request) error {
		body, err := rendered()
		if err != nil {
			return err
		}
		w.Header().Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
		return file("text/html; charset=utf-8", body)(w, r)
	})
	mux.Add("GET /docs/page.css", access.Anyone, file("text/css; charset=utf-8", pageCSS))
	mux.Add("GET /docs/icon.svg", access.Anyone, file("image/svg+xml", iconSVG))
}

// file returns a handler that answers with a file.
func file(mediaType string, content []byte) httpx.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(content) // errors are the client's concern
		return nil
	}
}
