package replica_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/catalog"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// version is a model whose labels and identity are the content of its file, so that an answer of two models would show.
type version struct {
	content string
	relay   *relay // may be nil
	closed  atomic.Bool
}

// relay lets each request wait until the next one begins, so that one is in progress whenever a model is replaced. The
// zero value lets none wait, for example the warm-up.
type relay struct {
	mu   sync.Mutex
	on   bool          // guarded by mu
	next chan struct{} // guarded by mu: closed when the next request begins; nil if none waits
}

func (r *relay) wait() {
	r.mu.Lock()
	r.release()
	if !r.on {
		r.mu.Unlock()
		return
	}
	next := make(chan struct{})
	r.next = next
	r.mu.Unlock()
	<-next
}

func (r *relay) turn(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = on
	r.release()
}

// release lets the request go on that waits. The caller holds mu.
func (r *relay) release() {
	if r.next != nil {
		close(r.next)
		r.next = nil
	}
}

func (v *version) Classify(context.Context, resnet18cloud.Image) (resnet18cloud.Result, error) {
	if v.closed.Load() {
		return resnet18cloud.Result{}, errors.New("closed")
	}
	r := resnet18cloud.Result{Model: v.content, Predictions: []string{v.content}, Timing: resnet18cloud.Timing{Inference: time.Millisecond}}
	if v.relay != nil {
		v.relay.wait()
	}
	if v.closed.Load() {
		return r, errors.New("closed meanwhile")
	}
	return r, nil
}

func (v *version) Labels(context.Context) (resnet18cloud.Labels, error) {
	return resnet18cloud.Labels{Model: v.content, Classes: 1, Labels: []string{v.content}}, nil
}

// startModels starts a replica on a folder with files, written as "name=content". Requests wait for each other if there is
// a relay.
func startModels(t *testing.T, rules catalog.Rules, relay *relay, files ...string) (r *running, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range files {
		name, content, _ := strings.Cut(f, "=")
		put(t, dir, name, content)
	}
	c, err := catalog.New(catalog.Config{Dir: dir, Rules: rules, Default: "a",
		Open: func(_ context.Context, path string) (catalog.Model, error) {
			content, err := os.ReadFile(path)
			if err == nil && string(content) == "wrong" {
				err = errors.New(`1 of 1 golden pictures are wrong: ant/1.jpg is "bee", want "ant"`)
			}
			if err != nil {
				return catalog.Model{}, err
			}
			v := &version{content: string(content), relay: relay}
			return catalog.Model{Classifier: v, Identity: v.content, Version: fmt.Sprintf("%x00000000", content), Classes: 1,
				Close: func() { v.closed.Store(true) }}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() { cancel(); following.Wait() })
	return start(t, replica.Config{Concurrency: 4, Queue: 100, Models: c}, c), dir
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".part", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
}

func request(t *testing.T, method, url string) answer {
	t.Helper()
	body := strings.NewReader("")
	if strings.Contains(url, "/predict") {
		body = strings.NewReader("image")
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err == nil {
		req.Header.Set("Content-Type", "image/jpeg")
	}
	a, err := do(req, err)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestModels(t *testing.T) {
	t.Parallel()
	r, dir := startModels(t, catalog.Rules{}, nil, "a@1.pth=A1", "a@2.pth=A2", "b.pth=B")
	for _, test := range []struct {
		method, target string
		status         int
		body           string
	}{
		{"POST", "/predict", 200, `"model":"A2"`},
		{"POST", "/predict?model=b", 200, `"model":"B"`},
		{"POST", "/predict?model=a@1", 200, `"model":"A1"`},
		{"POST", "/predict?model=c", 404, "use one of: a, b"},
		{"POST", "/predict?model=a@3", 404, "use one of: 1, 2"},
		{"POST", "/predict?model=../a", 400, "use NAME or NAME@VERSION"},
		{"GET", "/v2/models/b", 200, `"versions":["42000000"]`},
		{"GET", "/v2/models/a/versions/1", 200, `"labels":["A1"]`},
		{"GET", "/v2/models/resnet18", 200, `"labels":["A2"]`},
		{"GET", "/v2/models/resnet18/versions/1", 404, "use one of: a, b"},
		{"GET", "/v2/models/a/versions/3/ready", 404, "use one of: 1, 2"},
		{"GET", "/v2/models/a/ready", 200, "ready"},
		{"GET", "/labels", 200, `["A2"]`},
		{"GET", "/labels?model=b", 200, `["B"]`},
		{"GET", "/labels?model=c", 404, "use one of: a, b"},
		{"GET", "/models", 200, `"default":"a"`},
		{"GET", "/models", 200, `"identity":"B","hash":"4200000000"`},
		{"POST", "/models/reload", 200, `"state":"serving"`},
		{"GET", "/metrics", 200, `resnet18_replica_models{model="a",state="loaded"} 1`},
	} {
		if a := request(t, test.method, r.url+test.target); a.status != test.status || !strings.Contains(a.body, test.body) {
			t.Errorf("%s %s: %d %s, want %d with %s", test.method, test.target, a.status, a.body, test.status, test.body)
		}
	}
	put(t, dir, "a@3.pth", "wrong")
	if a := request(t, "POST", r.url+"/models/reload"); a.status != 409 || !strings.Contains(a.body, "a@3.pth") || !strings.Contains(a.body, "ant/1.jpg") {
		t.Errorf("reload: %d %s, want 409 with the file and the picture", a.status, a.body)
	}
	if a := request(t, "POST", r.url+"/predict"); !strings.Contains(a.body, `"model":"A2"`) {
		t.Errorf("after a wrong version: %s, want A2", a.body)
	}
	problems, err := promlint.New(strings.NewReader(request(t, "GET", r.url+"/metrics").body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

// TestOneModel checks that a server with one model lists it, and that requests may name it.
func TestOneModel(t *testing.T) {
	t.Parallel()
	info := resnet18cloud.ModelInfo{Name: "best", Version: "0123456789ab", Precision: "int8", Preprocessing: "mode=squash", Activation: "sigmoid", Classes: 1}
	best := start(t, replica.Config{Concurrency: 1, Model: func() replica.Model {
		return replica.Model{Weights: "best@01234567", Precision: "int8", Info: info, InputSize: 224}
	}}, &version{content: "B"})
	unknown := start(t, replica.Config{Concurrency: 1}, &version{content: "U"})
	for _, test := range []struct {
		method, url string
		status      int
		body        string
	}{
		{"GET", best.url + "/models", 200, `{"default":"best","models":[{"name":"best","version":"01234567","state":"serving",` +
			`"identity":"best@01234567","hash":"0123456789ab","precision":"int8","preprocessing":"mode=squash","activation":"sigmoid","classes":1,"labels":1}]}`},
		{"POST", best.url + "/predict?model=best", 200, `"model":"B"`},
		{"POST", best.url + "/predict?model=best@01234567", 200, `"model":"B"`},
		{"GET", best.url + "/labels?model=best@0123456789ab", 200, `["B"]`},
		{"POST", best.url + "/predict?model=best@012", 404, "use best, the only one"},
		{"POST", best.url + "/predict?model=other", 404, "use best, the only one"},
		{"GET", best.url + "/labels?model=other", 404, "use best, the only one"},
		{"POST", best.url + "/models/reload", 404, ""},
		{"GET", unknown.url + "/models", 200, `{"default":"resnet18","models":[{"name":"resnet18","state":"serving","labels":1}]}`},
		{"POST", unknown.url + "/predict?model=resnet18", 200, `"model":"U"`},
		{"POST", unknown.url + "/predict?model=best", 404, "use resnet18, the only one"},
	} {
		if a := request(t, test.method, test.url); a.status != test.status || !strings.Contains(a.body, test.body) {
			t.Errorf("%s %s: %d %s, want %d with %s", test.method, test.url, a.status, a.body, test.status, test.body)
		}
	}
}

// TestSwapsUnderLoad swaps models and promotes canaries behind a replica while clients send images: no request fails, and each
// answer is wholly of one model.
func TestSwapsUnderLoad(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string]catalog.Rules{"at once": {}, "after a comparison": {Share: 0.3, Live: true, Agreement: 0.001}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay := &relay{}
			r, dir := startModels(t, rules, relay, "a.pth=0")
			relay.turn(true)
			ctx, cancel := context.WithCancel(t.Context())
			var clients sync.WaitGroup
			defer func() { cancel(); relay.turn(false); clients.Wait() }()
			var answers atomic.Int64
			answered := make(chan struct{}, 1) // receives a value after answers has grown
			for range 8 {
				clients.Go(func() {
					for ctx.Err() == nil {
						a, err := do(upload(t.Context(), r.url, "x.jpg", "image"))
						var result resnet18cloud.Result
						if err == nil {
							err = json.Unmarshal([]byte(a.body), &result)
						}
						if err != nil || a.status != http.StatusOK || len(result.Predictions) != 1 || result.Predictions[0] != result.Model {
							t.Errorf("answer %d %s, %v", a.status, a.body, err)
							cancel()
							return
						}
						answers.Add(1)
						select {
						case answered <- struct{}{}:
						default:
						}
					}
				})
			}
			for i := range 10 {
				before := answers.Load()
				put(t, dir, "a.pth", fmt.Sprintf("%0*d", i+2, i))
				if a := request(t, "POST", r.url+"/models/reload"); a.status != http.StatusOK {
					t.Errorf("reload: %d %s", a.status, a.body)
				}
				for answers.Load() < before+50 && ctx.Err() == nil {
					select {
					case <-answered:
					case <-ctx.Done():
					}
				}
			}
			t.Logf("%d answers", answers.Load())
		})
	}
}
