package forward_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// mural is an image that takes replicas forever.
var mural = resnet18cloud.Image{Name: "mural.png", Bytes: []byte("mural")}

// paints is a replica that answers all images but mural.
func paints(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	if string(content) == "mural" {
		<-r.Context().Done()
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"predictions": []string{string(content)}})
}

// TestSlowImage checks that an image that takes replicas longer than an attempt may, while they answer probes, is
// tried twice, at two replicas if there are so many, then fails as the cause, and leaves them healthy.
func TestSlowImage(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{1, 2, 3} {
		var fakes []*fake
		cfg := forward.Config{AttemptTimeout: 500 * time.Millisecond, ProbeInterval: 10 * time.Millisecond}
		for range replicas {
			f := newFake(t, `{"concurrency":1,"queue":1}`, paints)
			fakes, cfg.Endpoints = append(fakes, f), append(cfg.Endpoints, f.URL)
		}
		p := start(t, cfg, replicas)
		_, err := p.Classify(t.Context(), mural)
		e := resnet18cloud.AsError(err)
		if e == nil || e.Code != resnet18cloud.CodeTooLarge || !strings.HasPrefix(e.Message, "Image takes longer than 500ms to classify") || e.Hint == "" {
			t.Errorf("%d replicas: Classify: %v, want CodeTooLarge", replicas, err)
		}
		total, most := int32(0), int32(0)
		for _, f := range fakes {
			n := f.images.Load()
			total, most = total+n, max(most, n)
		}
		if total != 2 || replicas > 1 && most != 1 {
			t.Errorf("%d replicas: tried %d times, %d at one of them; want twice, at different ones", replicas, total, most)
		}
		for _, e := range p.Endpoints() {
			if !e.Healthy {
				t.Errorf("%d replicas: endpoint %+v, want it healthy", replicas, e)
			}
		}
		if r, err := p.Classify(t.Context(), image); err != nil || r.Predictions[0] != "junco" {
			t.Errorf("%d replicas: another image: %v, %v", replicas, r.Predictions, err)
		}
	}
}

// TestReplicaThatOnlyAnswersProbes checks that a replica that answers no image is set aside as soon as another one has
// answered what it did not.
func TestReplicaThatOnlyAnswersProbes(t *testing.T) {
	t.Parallel()
	hangs := newFake(t, `{"concurrency":2}`, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	var log testutil.Log
	p := start(t, forward.Config{Endpoints: []string{hangs.URL}, AttemptTimeout: 2 * time.Second, ProbeInterval: 10 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, nil))}, 1)
	answered := send(t, p, image)
	waitFor(t, p, "the image's arrival", func() bool { return hangs.images.Load() == 1 })
	works := newFake(t, `{"concurrency":2}`, ours)
	if err := p.SetEndpoints([]string{hangs.URL, works.URL}); err != nil {
		t.Fatal(err)
	}
	if a := <-answered; a.err != nil || a.result.Replica != works.URL {
		t.Errorf("Classify = %+v, %v, want the other replica's answer", a.result, a.err)
	}
	if text := log.String(); !strings.Contains(text, `msg="endpoint unhealthy" endpoint=`+hangs.URL) || !strings.Contains(text, "did not respond within 2s") {
		t.Errorf("log without the replica that hangs:\n%s", text)
	}
}
