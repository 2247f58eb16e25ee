package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/catalog"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// version is a model whose labels, identity and hash are the content of its file.
type version string

func (v version) hash() string { return fmt.Sprintf("%x00000000", string(v)) }

func (v version) info() resnet18cloud.ModelInfo {
	return resnet18cloud.ModelInfo{Name: string(v), Version: v.hash(), Precision: "fp32", Activation: "none", Classes: 1}
}

func (v version) Classify(_ context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	info := v.info()
	r := resnet18cloud.Result{Filename: image.Name, Model: string(v), Precision: "fp32", ModelInfo: &info, Timing: resnet18cloud.Timing{Inference: time.Millisecond}}
	if image.Want.Embedding {
		r.Embedding = []float32{float32(v[0])}
		return r, nil
	}
	r.Predictions = []string{string(v)}
	r.Scores = []resnet18cloud.Prediction{{Label: string(v), Logit: float32(v[0])}}
	return r, nil
}

func (v version) Labels(context.Context) (resnet18cloud.Labels, error) {
	return resnet18cloud.Labels{Model: string(v), Classes: 1, Labels: []string{string(v)}, Activation: "none"}, nil
}

// folder is a folder of models with what serves it. The default model is trash.
type folder struct {
	*catalog.Catalog
	dir string
}

func newFolder(t *testing.T, rules catalog.Rules, files ...string) folder {
	t.Helper()
	f := folder{dir: t.TempDir()}
	for _, file := range files {
		name, content, _ := strings.Cut(file, "=")
		f.put(t, name, content)
	}
	var err error
	f.Catalog, err = catalog.New(catalog.Config{Dir: f.dir, Rules: rules, Default: "trash", Open: func(_ context.Context, path string) (catalog.Model, error) {
		content, err := os.ReadFile(path)
		if v := version(content); err == nil && v != "wrong" {
			return catalog.Model{Classifier: v, Identity: string(v), Version: v.hash(), Classes: 1, Labels: 1, Info: v.info, Close: func() {}}, nil
		}
		return catalog.Model{}, fmt.Errorf("this is ResNet-50: %w", err)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f folder) put(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+".part", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
}

// startModels starts a dispatcher in front of a replica for each folder.
func startModels(t *testing.T, folders ...folder) *client {
	t.Helper()
	cfg := dispatch.Config{Queue: memqueue.New(100, time.Minute), Store: memstore.New(time.Hour, 10_000)}
	for _, f := range folders {
		cfg.Endpoints = append(cfg.Endpoints, serveReplica(t, replica.Config{Concurrency: 2, Models: f.Catalog}, f.Catalog))
	}
	c := start(t, cfg)
	c.eventually("all replicas are healthy", func() bool {
		n, _ := c.get("/models").json(t)["replicas"].(float64)
		return int(n) == len(folders)
	})
	return c
}

// eachModels runs a test with models in the dispatcher's process, and with those of a replica.
func eachModels(t *testing.T, rules catalog.Rules, files []string, test func(t *testing.T, c *client, f folder)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		f := newFolder(t, rules, files...)
		test(t, startInMemory(t, dispatch.Config{}, f.Catalog), f)
	})
	t.Run("replica", func(t *testing.T) {
		t.Parallel()
		f := newFolder(t, rules, files...)
		test(t, startModels(t, f), f)
	})
}

// check sends an image, or gets what needs none, and checks the status and a part of the answer.
func (c *client) check(method, path, picture string, status int, part string) answer {
	c.t.Helper()
	var a answer
	if strings.HasPrefix(path, "/predict") || strings.HasPrefix(path, "/embed") {
		a = c.post(path, "a.jpg", picture)
	} else {
		a = c.do(http.NewRequest(method, c.url+path, nil))
	}
	if a.status != status || !strings.Contains(a.body, part) {
		c.t.Errorf("%s %s: %d %s, want %d with %s", method, path, a.status, a.body, status, part)
	}
	return a
}

func TestSeveralModels(t *testing.T) {
	t.Parallel()
	eachModels(t, catalog.Rules{}, []string{"trash@1.pth=T1", "trash@2.pth=T2", "ants.pth=A"}, func(t *testing.T, c *client, f folder) {
		for _, test := range []struct {
			method, path string
			status       int
			part         string
		}{
			{"POST", "/predict", 200, `"predictions":["T2"]`},
			{"POST", "/predict?model=trash@1", 200, `"predictions":["T1"]`},
			{"POST", "/predict?model=ants", 200, `"predictions":["A"]`},
			{"POST", "/embed?model=ants", 200, `"embedding":[65]`},
			{"POST", "/predict?model=bees", 404, `There is no model \"bees\"","hint":"use one of: ants, trash","code":"not_found"`},
			{"POST", "/predict_async?model=bees", 404, "use one of: ants, trash"},
			{"POST", "/predict_batch?model=trash@3", 404, "use one of: 1, 2"},
			{"POST", "/predict?model=../trash", 400, "use NAME or NAME@VERSION"},
			{"GET", "/labels", 200, `{"model":"T2","classes":1,"labels":["T2"],"activation":"none"}`},
			{"GET", "/labels?model=ants", 200, `["A"]`},
			{"GET", "/labels?model=trash@1", 200, `["T1"]`},
			{"GET", "/labels?model=bees", 404, "use one of: ants, trash"},
			{"GET", "/labels?model=../trash", 400, "use NAME or NAME@VERSION"},
			{"GET", "/models", 200, `{"default":"trash","models":[{"name":"ants","version":"41000000","file":"ants.pth","state":"serving","reason":"first version","identity":"A","hash":"4100000000","precision":"fp32","activation":"none","classes":1,"labels":1`},
			{"GET", "/models", 200, `"version":"1","file":"trash@1.pth","state":"loaded"`},
			{"GET", "/status", 200, `"failed_requests":0`},
		} {
			c.check(test.method, test.path, "picture", test.status, test.part)
		}
		f.put(t, "trash@3.pth", "wrong")
		c.check("POST", "/models/reload", "", 409, "this is ResNet-50")
		c.check("GET", "/models", "", 200, `"state":"refused"`)
		f.put(t, "trash@3.pth", "T3")
		c.check("POST", "/models/reload", "", 200, `"version":"3","file":"trash@3.pth","state":"serving"`)
		c.check("POST", "/predict", "picture", 200, `"predictions":["T3"]`)
	})
}

// TestOneModelHasAName checks that a replica's only model is listed, and may be named. A classifier in the process is not described.
func TestOneModelHasAName(t *testing.T) {
	t.Parallel()
	c := startInMemory(t, dispatch.Config{}, version("T"))
	c.check("GET", "/models", "", 404, "one model")
	c.check("POST", "/models/reload", "", 404, "one model")
	c.check("POST", "/predict?model=T", "picture", 404, "leave out the parameter model")
	c.check("POST", "/predict", "picture", 200, `"T"`)
	url := serveReplica(t, replica.Config{Concurrency: 1, Model: func() replica.Model {
		return replica.Model{Weights: "T", Precision: "fp32", Info: version("T").info()}
	}}, version("T"))
	c = start(t, dispatch.Config{Endpoints: []string{url}, Queue: memqueue.New(10, time.Minute), Store: memstore.New(time.Hour, 100)})
	c.eventually("a replica", func() bool { return c.get("/health/ready").status == http.StatusOK })
	c.check("GET", "/models", "", 200, `{"default":"T","models":[{"name":"T",`)
	c.check("POST", "/models/reload", "", 404, "start them with --models DIR")
	c.check("POST", "/predict?model=T", "picture", 200, `"T"`)
	c.check("GET", "/labels?model=T", "", 200, `["T"]`)
	c.check("POST", "/predict?model=U", "picture", 404, "use one of: T")
}

// TestResultsOfModelsAreCached checks that results are cached for every model, by whatever name it is asked for.
func TestResultsOfModelsAreCached(t *testing.T) {
	t.Parallel()
	eachModels(t, catalog.Rules{}, []string{"trash@1.pth=T1", "trash@2.pth=T2", "ants.pth=A"}, func(t *testing.T, c *client, _ folder) {
		for i, test := range []struct{ query, label, cached string }{
			{"?model=ants", "A", "MISS"},
			{"?model=ants", "A", "HIT"},
			{"?model=ants@41000000", "A", "HIT"},
			{"", "T2", "MISS"},
			{"?model=trash", "T2", "HIT"},
			{"?model=trash@2", "T2", "HIT"},
			{"?model=trash@1", "T1", "MISS"},
			{"?model=trash@1&top_k=3", "T1", "MISS"},
			{"?model=trash@1&top_k=3", "T1", "HIT"},
			{"?model=trash", "T2", "HIT"},
		} {
			if a := c.check("POST", "/predict"+test.query, "picture", 200, test.label); a.header.Get("X-Cache") != test.cached {
				t.Errorf("%d: %q is a %s, want %s", i, test.query, a.header.Get("X-Cache"), test.cached)
			}
		}
	})
}

// TestSwapEndsCachedResults checks that no cached result of a model is used after it was replaced by POST /models/reload, and
// that results are cached again then.
func TestSwapEndsCachedResults(t *testing.T) {
	t.Parallel()
	eachModels(t, catalog.Rules{}, []string{"trash.pth=T0", "ants.pth=A0"}, func(t *testing.T, c *client, f folder) {
		for i := range 5 {
			for _, query := range []string{"", "?model=trash", "?model=ants"} {
				label := fmt.Sprintf("T%d", i)
				if strings.HasSuffix(query, "ants") {
					label = fmt.Sprintf("A%d", i)
				}
				c.check("POST", "/predict"+query, "picture", 200, `"predictions":["`+label+`"]`)
				if a := c.check("POST", "/predict"+query, "picture", 200, label); a.header.Get("X-Cache") != "HIT" {
					t.Errorf("%s of %q was computed twice", label, query)
				}
			}
			f.put(t, "trash.pth", fmt.Sprintf("T%d", i+1))
			f.put(t, "ants.pth", fmt.Sprintf("A%d", i+1))
			c.check("POST", "/models/reload", "", 200, fmt.Sprintf("T%d", i+1))
		}
	})
}

// TestModelsNeverGoBack swaps the models of a replica, of which the dispatcher is not told, while clients send one picture again
// and again and others new ones: once one has an answer of a version, nobody who asks later has one of a version before.
func TestModelsNeverGoBack(t *testing.T) {
	t.Parallel()
	f := newFolder(t, catalog.Rules{}, "trash.pth=1000")
	c := startModels(t, f)
	var newest, n, hits atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ask := func(picture, query string) error {
		before := newest.Load()
		contentType, body := form("a.jpg", picture)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/predict"+query, body)
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", contentType)
		resp, err := c.http.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var r resnet18cloud.Result
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d: %w", resp.StatusCode, err)
		}
		var got int64
		if _, err := fmt.Sscan(r.Model, &got); err != nil || got < before || r.Predictions[0] != r.Model {
			return fmt.Errorf("answer %q of %s after one of %d, %w", r.Predictions, r.Model, before, err)
		}
		for old := newest.Load(); got > old && !newest.CompareAndSwap(old, got); old = newest.Load() {
		}
		if resp.Header.Get("X-Cache") == "HIT" {
			hits.Add(1)
		}
		n.Add(1)
		return nil
	}
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				picture, query := "always the same", []string{"", "?model=trash"}[i%2]
				if i == 0 {
					picture = fmt.Sprint("new ", j)
				}
				if err := ask(picture, query); err != nil {
					t.Error(err)
					cancel()
				}
			}
		})
	}
	for i := range 10 {
		before := n.Load()
		c.eventually("40 answers", func() bool { return n.Load() >= before+40 || ctx.Err() != nil })
		f.put(t, "trash.pth", fmt.Sprint(1001+i))
		if err := f.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	c.eventually("the last version answers", func() bool { return newest.Load() == 1010 || ctx.Err() != nil })
	cancel()
	clients.Wait()
	if hits.Load() == 0 {
		t.Error("no answer was from the cache")
	}
}

// TestCacheWhileReplicasDiffer checks that during a rolling update either version answers, and after it only the new one.
func TestCacheWhileReplicasDiffer(t *testing.T) {
	t.Parallel()
	first, second := newFolder(t, catalog.Rules{}, "trash@1.pth=T1", "ants.pth=A"), newFolder(t, catalog.Rules{}, "trash@2.pth=T2")
	c := startModels(t, first, second)
	seen := map[string]bool{}
	for i := range 40 {
		label := c.check("POST", "/predict?model=trash", fmt.Sprint(i%20), 200, "").json(t)["predictions"].([]any)[0].(string)
		seen[label] = true
	}
	if len(seen) != 2 || !seen["T1"] || !seen["T2"] {
		t.Errorf("answers %v, want of both", seen)
	}
	for range 10 { // at one only
		c.check("POST", "/predict?model=ants", "picture", 200, `["A"]`)
		c.check("POST", "/predict?model=trash@1", "picture", 200, `["T1"]`)
	}
	c.check("GET", "/models", "", 200, `"replicas":2`)
	c.check("POST", "/predict?model=trash@3", "picture", 404, "use one of: 1, 2")
	first.put(t, "trash@2.pth", "T2")
	if err := os.Remove(filepath.Join(first.dir, "trash@1.pth")); err != nil {
		t.Fatal(err)
	}
	c.check("POST", "/models/reload", "", 200, "T2")
	for i := range 40 {
		c.check("POST", "/predict?model=trash", fmt.Sprint(i%20), 200, `["T2"]`)
		c.check("POST", "/predict", fmt.Sprint(i%20), 200, `["T2"]`)
	}
	c.check("POST", "/predict?model=trash@1", "picture", 404, "use one of: 2")
}

// TestCanariesAreNotCached checks that results of a version which is being compared are used only by those who name it.
func TestCanariesAreNotCached(t *testing.T) {
	t.Parallel()
	eachModels(t, catalog.Rules{Share: 1, Live: true}, []string{"trash@1.pth=T1"}, func(t *testing.T, c *client, f folder) {
		c.check("POST", "/predict", "known", 200, `["T1"]`)
		f.put(t, "trash@2.pth", "T2")
		c.check("POST", "/models/reload", "", 200, `"state":"canary"`)
		for i, test := range []struct{ query, picture, label, cached string }{
			{"", "known", "T1", "HIT"},
			{"", "new", "T2", "MISS"}, // of the new version, which answers all requests that are compared
			{"?model=trash", "new", "T2", "MISS"},
			{"?model=trash@2", "new", "T2", "HIT"},
			{"?model=trash@1", "new", "T1", "MISS"},
			{"", "new", "T1", "HIT"},
		} {
			if a := c.check("POST", "/predict"+test.query, test.picture, 200, test.label); a.header.Get("X-Cache") != test.cached {
				t.Errorf("%d: %q is a %s, want %s", i, test.query, a.header.Get("X-Cache"), test.cached)
			}
		}
		c.check("GET", "/models", "", 200, `"canary":{"share":1,"against":"1"`)
	})
}
