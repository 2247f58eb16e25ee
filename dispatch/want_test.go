package dispatch_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// oracle is a classifier of a model with three classes, or with features only, that answers what is asked.
type oracle struct {
	classes int
	labels  []string
	ran     chan resnet18cloud.Want // receives what each image is asked
}

var oracleInfo = resnet18cloud.ModelInfo{Name: "oracle", Version: "0a1b", Precision: "fp32", Preprocessing: "mode=squash", Activation: "none", Classes: 3}

func newOracle(classes int, labels ...string) *oracle {
	return &oracle{classes, labels, make(chan resnet18cloud.Want, 100)}
}

func (o *oracle) Labels(context.Context) (resnet18cloud.Labels, error) {
	return resnet18cloud.Labels{Model: "oracle@0a1b", Classes: o.classes, Labels: o.labels, Activation: "none"}, nil
}

func (o *oracle) Classify(_ context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	if image.Name != "warm-up.jpg" {
		o.ran <- image.Want
	}
	r := resnet18cloud.Result{Filename: image.Name, Model: "oracle@0a1b", Precision: "fp32", ModelInfo: &oracleInfo}
	switch {
	case image.Want.Embedding && image.Want.Normalize:
		r.Embedding = []float32{0.6, 0.8}
	case image.Want.Embedding:
		r.Embedding = []float32{3, 4}
	case o.classes == 0:
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUnsuited, Message: "The model has no classes", Hint: "use /embed"}
	default:
		for i := range min(o.classes, image.Want.Classes()) {
			label := fmt.Sprintf("class %d", i)
			r.Predictions = append(r.Predictions, label)
			r.Scores = append(r.Scores, resnet18cloud.Prediction{Index: i, Label: label, Logit: float32(-i)})
		}
	}
	return r, nil
}

// eachWay runs a test with a dispatcher whose classifier is in its process, and with one that has a replica.
func eachWay(t *testing.T, o func() *oracle, test func(t *testing.T, c *client, o *oracle)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		o := o()
		test(t, startInMemory(t, dispatch.Config{}, o), o)
	})
	t.Run("replica", func(t *testing.T) {
		t.Parallel()
		o := o()
		url := serveReplica(t, replica.Config{Concurrency: 1, Model: func() replica.Model {
			return replica.Model{Weights: "oracle@0a1b", Precision: "fp32", Info: oracleInfo, InputSize: 128}
		}}, o)
		c := start(t, dispatch.Config{Endpoints: []string{url}, Queue: memqueue.New(10, time.Minute), Store: memstore.New(time.Hour, 100)})
		c.eventually("replica is healthy", func() bool { return c.get("/health/ready").status == http.StatusOK })
		test(t, c, o)
	})
}

// TestWants asks in all ways for classes and features, through HTTP.
func TestWants(t *testing.T) {
	t.Parallel()
	eachWay(t, func() *oracle { return newOracle(3) }, func(t *testing.T, c *client, o *oracle) {
		answered := func(path string, headers ...string) map[string]any {
			t.Helper()
			a := c.post(path, "a.jpg", "picture", headers...)
			body := a.json(t)
			if strings.Contains(path, "_async") || len(headers) > 0 {
				body, _ = c.wait(fmt.Sprint(body["request_id"]))["result"].(map[string]any)
			} else if a.status != http.StatusOK {
				t.Errorf("POST %s = %d %s", path, a.status, a.body)
			}
			return body
		}
		for _, step := range []struct {
			path, prefer string
			labels       []any // nil means that features are wanted
			features     []any
			ran          bool // not from the cache
		}{
			{"/predict", "", []any{"class 0", "class 1", "class 2"}, nil, true},
			{"/predict?top_k=5", "", []any{"class 0", "class 1", "class 2"}, nil, false},
			{"/predict?top_k=1", "", []any{"class 0"}, nil, true},
			{"/predict_async?top_k=2000", "", []any{"class 0", "class 1", "class 2"}, nil, true},
			{"/predict_async?top_k=1", "", []any{"class 0"}, nil, false},
			{"/embed", "", nil, []any{3.0, 4.0}, true},
			{"/embed_async?normalize=true", "", nil, []any{float64(float32(0.6)), float64(float32(0.8))}, true},
			{"/embed?normalize=true", "", nil, []any{float64(float32(0.6)), float64(float32(0.8))}, false},
			{"/embed", "respond-async", nil, []any{3.0, 4.0}, false},
		} {
			var headers []string
			if step.prefer != "" {
				headers = append(headers, "Prefer", step.prefer)
			}
			got := answered(step.path, headers...)
			for name, want := range map[string][]any{"predictions": step.labels, "embedding": step.features} {
				list, has := got[name].([]any)
				near := cmp.Comparer(func(a, b float64) bool { return float32(a) == float32(b) })
				if has != (want != nil) || !cmp.Equal(list, want, near) {
					t.Errorf("%s: %s = %v, want %v", step.path, name, got[name], want)
				}
			}
			if info, _ := got["model_info"].(map[string]any); info["name"] != "oracle" || info["version"] != "0a1b" || got["model"] != "oracle@0a1b" {
				t.Errorf("%s: model %v, %v", step.path, got["model"], got["model_info"])
			}
			if scores, ok := got["scores"].([]any); ok {
				if _, has := scores[0].(map[string]any)["probability"]; has {
					t.Errorf("%s: a probability of plain outputs: %v", step.path, scores[0])
				}
			}
			select {
			case <-o.ran:
				if !step.ran {
					t.Errorf("%s was computed again", step.path)
				}
			default:
				if step.ran {
					t.Errorf("%s was answered from the cache", step.path)
				}
			}
		}
		var items []map[string]any
		for _, path := range []string{"/predict_batch?top_k=2", "/embed_batch"} {
			for _, item := range c.post(path, "b.jpg", "another").json(t)["items"].([]any) {
				items = append(items, c.wait(fmt.Sprint(item.(map[string]any)["request_id"]))["result"].(map[string]any))
			}
		}
		if len(items) != 2 || len(items[0]["predictions"].([]any)) != 2 || len(items[1]["embedding"].([]any)) != 2 {
			t.Errorf("batches: %v", items)
		}
		for _, path := range []string{"/predict?top_k=0", "/predict_async?top_k=many", "/predict_batch?top_k=2001", "/embed?top_k=2", "/embed?normalize=1", "/predict?normalize=true"} {
			if a := c.post(path, "a.jpg", "picture"); a.status != http.StatusBadRequest || a.json(t)["code"] != "invalid" || a.json(t)["hint"] == nil {
				t.Errorf("POST %s = %d %s, want 400", path, a.status, a.body)
			}
		}
		if a := c.post("/predict", "a.jpg", "picture", "Idempotency-Key", "k"); a.status != http.StatusOK {
			t.Errorf("with a key: %d %s", a.status, a.body)
		}
		for _, path := range []string{"/predict?top_k=2", "/embed"} {
			if a := c.post(path, "a.jpg", "picture", "Idempotency-Key", "k"); a.status != http.StatusConflict {
				t.Errorf("POST %s with a used key = %d %s, want 409", path, a.status, a.body)
			}
		}
	})
}

// TestWithoutClasses checks that a model with features only gives these, and says so to those who want classes.
func TestWithoutClasses(t *testing.T) {
	t.Parallel()
	eachWay(t, func() *oracle { return newOracle(0) }, func(t *testing.T, c *client, _ *oracle) {
		for range 3 { // which does not make a replica unhealthy
			if a := c.post("/predict", "a.jpg", "picture"); a.status != http.StatusUnprocessableEntity || a.json(t)["code"] != "unsuited" ||
				!strings.Contains(fmt.Sprint(a.json(t)["hint"]), "/embed") {
				t.Errorf("POST /predict = %d %s, want 422 with a hint", a.status, a.body)
			}
		}
		if a := c.post("/embed", "a.jpg", "picture"); a.status != http.StatusOK {
			t.Errorf("POST /embed = %d %s", a.status, a.body)
		}
	})
}

// TestLabels checks that the dispatcher tells the classes of the model that answers.
func TestLabels(t *testing.T) {
	t.Parallel()
	for name, labels := range map[string][]string{"labels": {"ant", "bee", "fly"}, "none": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func() *oracle { return newOracle(3, labels...) }, func(t *testing.T, c *client, _ *oracle) {
				c.eventually("a replica", func() bool { return c.get("/labels").status == http.StatusOK })
				for range 2 { // the second time without asking the replica
					got := c.get("/labels").json(t)
					list, _ := got["labels"].([]any)
					var texts []string
					for _, l := range list {
						texts = append(texts, l.(string))
					}
					if got["classes"] != 3.0 || got["model"] != "oracle@0a1b" || got["activation"] != "none" || !slices.Equal(texts, labels) {
						t.Errorf("GET /labels = %v, want %q", got, labels)
					}
					if _, ok := got["labels"]; !ok {
						t.Errorf("GET /labels = %v, want labels, or null", got)
					}
				}
			})
		})
	}
}
