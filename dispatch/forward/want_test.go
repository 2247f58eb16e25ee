package forward_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

// serve adds an endpoint to a fake.
func serve(f *fake, path string, h http.HandlerFunc) {
	was := f.Config.Handler
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			h(w, r)
			return
		}
		was.ServeHTTP(w, r)
	})
}

// scored returns n predictions with scores, and with labels of so many bytes.
func scored(n, size int) string {
	label := strings.Repeat("<", size)
	predictions := strings.TrimSuffix(strings.Repeat(`"`+label+`",`, n), ",")
	scores := strings.TrimSuffix(strings.Repeat(`{"index":1,"label":"`+label+`","logit":1},`, n), ",")
	return `{"embedding":[1],"predictions":[` + predictions + `],"scores":[` + scores + `]}`
}

// TestTopK checks which numbers of classes are taken from a replica, for which request, and that a result that is too large
// is not a replica's fault.
func TestTopK(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		topK, answered, size int
		want                 int // classes; 0 means an error
		code                 resnet18cloud.Code
	}{
		"as many":           {3, 3, 8, 3, ""},
		"fewer classes":     {7, 2, 8, 2, ""},
		"an old replica":    {2, 5, 8, 2, ""},
		"the most":          {2000, 2000, 8, 2000, ""},
		"more than it has":  {200, 201, 8, 0, resnet18cloud.CodeInternal},
		"too large":         {2000, 2000, 200, 0, resnet18cloud.CodeTooLarge},
		"large with escape": {2000, 2000, 70, 0, resnet18cloud.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queries := make(chan string, 10)
			f := newFake(t, `{"concurrency":2,"queue":2}`, func(w http.ResponseWriter, r *http.Request) {
				queries <- r.URL.Query().Get("top_k")
				_, _ = io.WriteString(w, scored(test.answered, test.size))
			})
			p := start(t, forward.Config{Endpoints: []string{f.URL}}, 1)
			asking := image
			asking.Want.TopK = test.topK
			r, err := p.Classify(t.Context(), asking)
			if r.Embedding != nil || len(r.Predictions) != test.want || len(r.Scores) != test.want || (err == nil) != (test.code == "") ||
				err != nil && resnet18cloud.AsError(err).Code != test.code {
				t.Errorf("%d predictions, %d scores, %v; want %d, %s", len(r.Predictions), len(r.Scores), err, test.want, test.code)
			}
			if got := <-queries; got != fmt.Sprint(test.topK) {
				t.Errorf("the replica was asked for %q classes, want %d", got, test.topK)
			}
			if n, _ := p.Slots(); n == 0 && test.code != resnet18cloud.CodeInternal {
				t.Error("the replica is unhealthy")
			}
		})
	}
}

// TestEmbedding checks that features come from the replica that gives them, and that one that does not stays healthy.
func TestEmbedding(t *testing.T) {
	t.Parallel()
	old, new := newFake(t, "", prototype), newFake(t, `{"concurrency":2,"queue":2}`, ours)
	serve(new, "/embed", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"embedding":[1,0.5],"predictions":["x"]}`)
	})
	asking := image
	asking.Want = resnet18cloud.Want{Embedding: true}
	both := start(t, forward.Config{Endpoints: []string{old.URL, new.URL}}, 2)
	for range 6 {
		if r, err := both.Classify(t.Context(), asking); err != nil || len(r.Embedding) != 2 || r.Predictions != nil || r.Replica != new.URL {
			t.Errorf("Classify = %+v, %v", r, err)
		}
	}
	alone := start(t, forward.Config{Endpoints: []string{old.URL}}, 1)
	for range 6 {
		if _, err := alone.Classify(t.Context(), asking); err == nil || resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnsuited {
			t.Errorf("a prototype: %v, want %s", err, resnet18cloud.CodeUnsuited)
		}
	}
	if _, err := alone.Classify(t.Context(), image); err != nil {
		t.Errorf("classes afterwards: %v", err)
	}
	if _, err := alone.Labels(t.Context(), ""); err == nil || resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnsuited {
		t.Errorf("labels of a prototype: %v, want %s", err, resnet18cloud.CodeUnsuited)
	}
}

// TestLabels checks that labels are asked for once, and what is not believed.
func TestLabels(t *testing.T) {
	t.Parallel()
	for body, problem := range map[string]string{
		`{"model":"m","classes":2,"labels":["ant","bee"]}`:                        "",
		`{"model":"m","classes":3,"labels":["ant","bee"]}`:                        "2 labels for 3 classes",
		`{"model":"m","classes":2001}`:                                            "2001 classes",
		`{"model":"m","classes":-1}`:                                              "-1 classes",
		`{"model":"m","classes":1,"labels":["a\u0007"]}`:                          "control characters",
		`{"model":"m","classes":1,"labels":["` + strings.Repeat("x", 513) + `"]}`: "513 bytes",
		`<html>`: "invalid character",
	} {
		f := newFake(t, `{"weights":"m","precision":"fp32","concurrency":2,"queue":2}`, ours)
		asked := make(chan struct{}, 10)
		serve(f, "/labels", func(w http.ResponseWriter, _ *http.Request) {
			asked <- struct{}{}
			_, _ = io.WriteString(w, body)
		})
		p := start(t, forward.Config{Endpoints: []string{f.URL}, ProbeTimeout: 10 * time.Second}, 1)
		for range 3 {
			l, err := p.Labels(t.Context(), "")
			if problem == "" && (err != nil || len(l.Labels) != 2 || l.Model != "m") {
				t.Errorf("%s: %+v, %v", body, l, err)
			}
			if problem != "" && (err == nil || !strings.Contains(err.Error(), problem) || resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable) {
				t.Errorf("%.60s: %+v, %v, want %q", body, l, err, problem)
			}
		}
		if n := len(asked); problem == "" && n != 1 || problem != "" && n != 3 {
			t.Errorf("%.60s: asked %d times", body, n)
		}
	}
	if _, err := start(t, forward.Config{}, 0).Labels(t.Context(), ""); resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable {
		t.Errorf("without replicas: %v", err)
	}
}
