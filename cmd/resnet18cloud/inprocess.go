//go:build !only_replica && !only_dispatcher

package main

import (
	"bytes"
	"io"
	"net/http"
)

// inProcess sends requests to a handler of this process: without a network, TLS or keys.
type inProcess struct{ http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &recordedResponse{header: http.Header{}, status: http.StatusOK}
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody // handlers expect a body
	}
	t.ServeHTTP(w, r)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// recordedResponse keeps a response.
type recordedResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recordedResponse) Header() http.Header         { return w.header }
func (w *recordedResponse) WriteHeader(status int)      { w.status = status }
func (w *recordedResponse) Write(p []byte) (int, error) { return w.body.Write(p) }
