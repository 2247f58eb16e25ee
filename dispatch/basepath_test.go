package dispatch_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/board"
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

	// The dashboard, which is for people, counts them in one place only.
	_, next := c.watch("", "")
	for rate := 0.0; rate == 0; {
		name, e, err := next()
		if err != nil {
			t.Fatal(err)
		}
		rows := e.Rows
		if name == "frame" {
			rows = [][]*float64{e.Row}
		}
		for _, row := range rows {
			if failed := *row[slices.Index(board.Columns(), "failed")]; failed != 0 {
				t.Fatalf("%g failed per second, want none", failed)
			}
			rate += *row[slices.Index(board.Columns(), "unusable")]
		}
	}
}
