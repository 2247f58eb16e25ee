package target_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/load/target"
)

// transport answers all requests alike, without reading their bodies, and keeps the last one.
type transport struct {
	status int
	body   string
	header http.Header
	last   *http.Request
}

func (r *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	r.last = request
	return &http.Response{StatusCode: r.status, Status: http.StatusText(r.status), Header: r.header, Body: io.NopCloser(strings.NewReader(r.body)), Request: request}, nil
}

// TestHTTPTakesTheImageBack checks that a transport that reads a body late no longer gets the image, whose memory may
// be another's by then.
func TestHTTPTakesTheImageBack(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 503} {
		late := &transport{status: status}
		h := target.HTTP{Client: &http.Client{Transport: late}, URL: "http://server/predict"}
		if _, err := h.Send(t.Context(), resnet18cloud.Image{Bytes: []byte("image")}, func() {}); (err != nil) != (status == 503) {
			t.Errorf("status %d: error %v", status, err)
		}
		if data, err := io.ReadAll(late.last.Body); err == nil || len(data) > 0 {
			t.Errorf("status %d: read %q after Send, error %v; want only an error", status, data, err)
		}
	}
}

// TestHeaders checks that every kind of request carries the user's headers.
func TestHeaders(t *testing.T) {
	t.Parallel()
	header := http.Header{"Authorization": {"Bearer x"}}
	server := &transport{status: 200, body: `{"inputs":[{"name":"data","datatype":"FP32","shape":[1,3,224,224]}]}`}
	h := target.HTTP{Client: &http.Client{Transport: server}, URL: "http://server/predict", Header: header}
	o := target.OIP{Client: h.Client, URL: "http://server", Header: header}
	for name, request := range map[string]func() error{
		"HTTP.Check":   func() error { return h.Check(t.Context()) },
		"HTTP.Send":    func() error { _, err := h.Send(t.Context(), resnet18cloud.Image{}, func() {}); return err },
		"OIP.Describe": func() error { _, err := o.Describe(t.Context()); return err },
	} {
		server.last = nil
		if err := request(); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := server.last.Header.Get("Authorization"); got != "Bearer x" {
			t.Errorf("%s: Authorization is %q", name, got)
		}
	}
}
