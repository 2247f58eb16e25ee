package dispatch_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
)

// TestBasePath checks the addresses of results below a path, also as a trusted proxy names it.
func TestBasePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, base, path, header string
		trusted                  []string
		want                     string
	}{
		{"none", "", "/predict_async", "/photos", nil, "/result/"},
		{"base", "/photos", "/photos/predict_async", "", nil, "/photos/result/"},
		{"proxy", "", "/predict_async", "/photos", []string{"127.0.0.0/8"}, "/photos/result/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := startServing(t, dispatch.Config{BasePath: c.base, TrustedProxies: c.trusted}, 1, opened())
			a := d.post(c.path, "a.jpg", "x", "X-Forwarded-Prefix", c.header)
			if got := a.header.Get("Location"); a.status != http.StatusAccepted || !strings.HasPrefix(got, c.want) {
				t.Errorf("POST %s = %d, Location %q, want %s...", c.path, a.status, got, c.want)
			}
			if got, _ := a.json(t)["status_url"].(string); got != a.header.Get("Location") {
				t.Errorf("status_url %q, want the Location", got)
			}
			if d.get(c.base+"/health").status != http.StatusOK || d.get("/health").status != http.StatusOK {
				t.Error("GET /health fails, below the path or beside it")
			}
		})
	}
	if _, err := dispatch.New(dispatch.Config{Endpoints: []string{"http://127.0.0.1:1"}, BasePath: "photos"}); err == nil {
		t.Error("a base path without a slash is accepted")
	}
}

// TestUnusableImages checks that images that cannot be classified are told apart from other failures.
func TestUnusableImages(t *testing.T) {
	t.Parallel()
	c := startServing(t, dispatch.Config{}, 1, classifierFunc(func(context.Context, resnet18cloud.Image) (resnet18cloud.Result, error) {
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: "broken"}
	}))
	c.wait(c.submit("a.jpg", "x"))
	if s := c.get("/status").json(t); s["failed_requests"] != 1.0 || s["unusable_images"] != 1.0 {
		t.Errorf("failed %v, unusable %v, want 1 and 1", s["failed_requests"], s["unusable_images"])
	}
}
