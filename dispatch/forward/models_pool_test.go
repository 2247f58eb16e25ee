package forward_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

// library is a replica with models, written as "trash@2=hash". All of them serve; the first one is the default.
type library struct {
	*fake
	models atomic.Pointer[[]string]
	asked  atomic.Int32 // GET /models
}

func newLibrary(t *testing.T, models ...string) *library {
	t.Helper()
	l := &library{}
	l.set(models...)
	l.fake = newFake(t, `{"weights":"stale","precision":"fp32","concurrency":2,"queue":2,"endpoints":["/models"]}`, nil)
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, ok := l.find(r.URL.Query().Get("model"))
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":"There is no such model here","hint":"use another","code":"not_found"}`)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = json.NewEncoder(w).Encode(resnet18cloud.Result{Predictions: []string{m.Hash}, Model: m.Identity, Precision: m.Precision,
			ModelInfo: &resnet18cloud.ModelInfo{Version: m.Hash}})
	})
	l.predict.Store(&answer)
	serve(l.fake, "/models", func(w http.ResponseWriter, _ *http.Request) {
		l.asked.Add(1)
		_ = json.NewEncoder(w).Encode(l.list())
	})
	serve(l.fake, "/labels", func(w http.ResponseWriter, r *http.Request) {
		m, _ := l.find(r.URL.Query().Get("model"))
		_ = json.NewEncoder(w).Encode(resnet18cloud.Labels{Model: m.Identity, Classes: 1, Labels: []string{m.Hash}})
	})
	return l
}

func (l *library) set(models ...string) { l.models.Store(&models) }

func (l *library) list() (all resnet18cloud.Models) {
	for _, text := range *l.models.Load() {
		id, hash, _ := strings.Cut(text, "=")
		name, version, _ := strings.Cut(id, "@")
		all.Models = append(all.Models, resnet18cloud.ModelStatus{Name: name, Version: version, State: resnet18cloud.ModelServing,
			Identity: "weights@" + hash, Hash: hash, Precision: "fp32"})
	}
	all.Default = all.Models[0].Name
	return all
}

func (l *library) find(model string) (resnet18cloud.ModelStatus, bool) {
	name, version, versioned := strings.Cut(model, "@")
	for _, m := range l.list().Models {
		if model == "" || m.Name == name && (!versioned || m.Is(version)) {
			return m, true
		}
	}
	return resnet18cloud.ModelStatus{}, false
}

// asking returns the image with the question to a model.
func asking(model string) resnet18cloud.Image {
	i := image
	i.Want.Model = model
	return i
}

// seldom is a pool that probes only when there is a reason.
func seldom(endpoints ...*library) forward.Config {
	cfg := forward.Config{ProbeInterval: time.Hour, ProbeTimeout: 10 * time.Second}
	for _, e := range endpoints {
		cfg.Endpoints = append(cfg.Endpoints, e.URL)
	}
	return cfg
}

// TestModelsAreFound checks that images go only to replicas that have the model, and what clients learn if none has.
func TestModelsAreFound(t *testing.T) {
	t.Parallel()
	first, second := newLibrary(t, "trash@1=11111111"), newLibrary(t, "ants@1=33333333", "trash@2=22222222")
	old := newFake(t, `{"concurrency":2,"queue":2}`, ours)
	cfg := seldom(first, second)
	cfg.Endpoints = append(cfg.Endpoints, old.URL)
	cfg.Attempted = only(t, "completed")
	p := start(t, cfg, 3)
	for model, want := range map[string][]string{
		"trash": {"11111111", "22222222"}, "trash@1": {"11111111"}, "trash@2": {"22222222"}, "ants": {"33333333"}, "ants@33333333": {"33333333"},
	} {
		seen := map[string]bool{}
		for range 12 {
			r, err := p.Classify(t.Context(), asking(model))
			if err != nil || !slices.Contains(want, r.Predictions[0]) {
				t.Errorf("model %s: %+v, %v, want %q", model, r, err, want)
				break
			}
			seen[r.Predictions[0]] = true
		}
		if len(seen) != len(want) {
			t.Errorf("model %s: answered by %v, want %q", model, seen, want)
		}
	}
	for model, hint := range map[string]string{"bees": "use one of: ants, trash", "trash@3": "use one of: 1, 2"} {
		before := first.images.Load() + second.images.Load() + old.images.Load()
		_, err := p.Classify(t.Context(), asking(model))
		if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeNotFound || e.Hint != hint {
			t.Errorf("model %s: %v, want not_found with %q", model, err, hint)
		}
		if _, err := p.Find(model); err == nil || resnet18cloud.AsError(err).Code != resnet18cloud.CodeNotFound {
			t.Errorf("Find(%s): %v", model, err)
		}
		if after := first.images.Load() + second.images.Load() + old.images.Load(); after != before {
			t.Errorf("model %s, which no replica has, was asked for %d times", model, after-before)
		}
	}
	if m, err := p.Find("trash@2"); err != nil || m.Hash != "22222222" {
		t.Errorf("Find: %+v, %v", m, err)
	}
	if all, err := p.Models(); err != nil || all.Replicas != 2 || len(all.Models) != 3 {
		t.Errorf("Models: %+v, %v", all, err)
	}
	for model, label := range map[string]string{"ants": "33333333", "trash@1": "11111111", "trash@2": "22222222"} {
		for range 2 {
			if l, err := p.Labels(t.Context(), model); err != nil || l.Labels[0] != label {
				t.Errorf("Labels(%s): %+v, %v, want %s", model, l, err, label)
			}
		}
	}
	if _, err := p.Labels(t.Context(), "bees"); resnet18cloud.AsError(err).Code != resnet18cloud.CodeNotFound {
		t.Errorf("Labels(bees): %v", err)
	}
}

// TestModelsThatAreGone checks that all replicas with a model are tried if it has just left some, however many attempts an image
// has, and that the pool learns it.
func TestModelsThatAreGone(t *testing.T) {
	t.Parallel()
	var all []*library
	for range 5 {
		all = append(all, newLibrary(t, "ants@1=33333333", "trash@1=11111111"))
	}
	cfg := seldom(all...)
	cfg.Attempts = 1
	p := start(t, cfg, 5)
	for _, l := range all[1:] {
		l.set("ants@1=33333333")
	}
	if r, err := p.Classify(t.Context(), asking("trash")); err != nil || r.Replica != all[0].URL {
		t.Errorf("Classify: %+v, %v, want an answer of the only replica that has the model", r, err)
	}
	all[0].set("ants@1=33333333")
	_, err := p.Classify(t.Context(), asking("trash"))
	if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeNotFound {
		t.Errorf("when all have lost it: %v", err)
	}
	waitFor(t, p, "the pool to know that the model is gone", func() bool {
		_, err := p.Find("trash")
		e := resnet18cloud.AsError(err)
		return e != nil && e.Hint == "use one of: ants"
	})
	if n, _ := p.Slots(); n != 20 {
		t.Errorf("%d slots: a replica without a model is unhealthy", n)
	}
}

// TestModelsOfReplicasAway checks that a model of a replica that is away is worth waiting for.
func TestModelsOfReplicasAway(t *testing.T) {
	t.Parallel()
	first, second := newLibrary(t, "trash@1=11111111"), newLibrary(t, "ants@1=33333333")
	cfg := seldom(first, second)
	cfg.ProbeInterval = 10 * time.Millisecond
	p := start(t, cfg, 2)
	stopping := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	first.ready.Store(&stopping)
	waitHealthy(t, p, 1)
	if _, err := p.Classify(t.Context(), asking("trash")); resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable {
		t.Errorf("model of a replica that is away: %v, want unavailable", err)
	}
	if a := p.Answering(); len(a.For("trash")) != 0 || len(a.For("ants")) != 1 {
		t.Errorf("models in use: %+v, want those of the other replica", a)
	}
}

// TestSwapIsNoticed checks that an answer of another model makes the pool ask again, and that until it has, no model is known to
// answer, so that no cached result of the old one is used after a result of the new one.
func TestSwapIsNoticed(t *testing.T) {
	t.Parallel()
	l := newLibrary(t, "trash@1=11111111")
	p := start(t, seldom(l), 1)
	uses := func() string {
		var all []string
		for _, name := range []string{"", "trash"} {
			for _, m := range p.Answering().For(name) {
				all = append(all, m.Hash)
			}
		}
		return strings.Join(all, " ")
	}
	if got := uses(); got != "11111111 11111111" {
		t.Fatalf("models %q", got)
	}
	for i, model := range []string{"trash", "", "trash"} {
		hash := fmt.Sprintf("2222222%d", i)
		held, goOn := make(chan struct{}), make(chan struct{})
		l.ready.Store(new(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { held <- struct{}{}; <-goOn })))
		l.set("trash@1=" + hash)
		if r, err := p.Classify(t.Context(), asking(model)); err != nil || r.Predictions[0] != hash {
			t.Fatalf("Classify: %+v, %v", r, err)
		}
		<-held // the pool asks
		if got := uses(); got != "" {
			t.Errorf("models %q while it is not known which one answers", got)
		}
		close(goOn)
		l.ready.Store(new(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		waitFor(t, p, "the new model", func() bool { return uses() == hash+" "+hash })
	}
}

// TestSurpriseIsCheckedOnce checks that a replica that tells one model and answers with another is not probed for each image.
func TestSurpriseIsCheckedOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t, `{"weights":"one","precision":"fp32","concurrency":2,"queue":2}`, answers(http.StatusOK, `{"predictions":["x"],"model":"another"}`))
	p := start(t, forward.Config{Endpoints: []string{f.URL}, ProbeInterval: time.Hour, ProbeTimeout: 10 * time.Second}, 1)
	<-f.probes
	for range 20 {
		if _, err := p.Classify(t.Context(), image); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, p, "the model to be known again", func() bool { return len(p.Answering().Models) == 1 })
	if n := len(f.probes); n != 1 {
		t.Errorf("%d probes because of 20 answers, want 1", n)
	}
}

// TestReload checks that all replicas with a folder read it, and that the pool knows what they then have.
func TestReload(t *testing.T) {
	t.Parallel()
	one, first, second := newLibrary(t, "best@1=11111111"), newLibrary(t, "best@1=11111111"), newLibrary(t, "best@1=11111111")
	var wrong atomic.Bool
	for _, l := range []*library{first, second} {
		serve(l.fake, "/models/reload", func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer secret" {
				t.Errorf("%s with %v", r.Method, r.Header)
			}
			l.set("best@2=22222222")
			if wrong.Load() {
				w.WriteHeader(http.StatusConflict)
				_, _ = io.WriteString(w, `{"error":"Models were not loaded: best@3.pth: this is ResNet-50","hint":"see GET /models","code":"conflict"}`)
			}
		})
	}
	cfg := seldom(one, first, second)
	cfg.Token = func() string { return "secret" }
	p := start(t, cfg, 3)
	if err := p.Reload(t.Context()); err != nil {
		t.Errorf("Reload: %v", err)
	}
	var hashes []string
	for _, m := range p.Answering().For("") {
		hashes = append(hashes, m.Hash)
	}
	slices.Sort(hashes)
	if all, err := p.Models(); err != nil || len(all.Models) != 2 || all.Models[1].Replicas != 2 || !slices.Equal(hashes, []string{"11111111", "22222222"}) {
		t.Errorf("after Reload: %+v, %v, %q", all, err, hashes)
	}
	wrong.Store(true)
	if e := resnet18cloud.AsError(p.Reload(t.Context())); e == nil || e.Code != resnet18cloud.CodeConflict || !strings.HasSuffix(e.Message, "ResNet-50") {
		t.Errorf("Reload with a wrong file: %v", e)
	}
	alone := start(t, seldom(one), 1)
	if e := resnet18cloud.AsError(alone.Reload(t.Context())); e == nil || e.Code != resnet18cloud.CodeNotFound {
		t.Errorf("Reload of a replica with one model: %v", e)
	}
	serve(one.fake, "/models/reload", answers(http.StatusForbidden, "no"))
	if e := resnet18cloud.AsError(alone.Reload(t.Context())); e == nil || e.Code != resnet18cloud.CodeUnavailable || !strings.Contains(e.Hint, "admin") {
		t.Errorf("Reload without the scope: %v", e)
	}
}

// TestModelsThatCannotBeRead checks what becomes of a replica whose list is broken, and of one that does not have it any more.
func TestModelsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	broken, gone := newLibrary(t, "best@1=11111111"), newLibrary(t, "best@1=11111111")
	serve(broken.fake, "/models", answers(http.StatusOK, `{"models":17}`))
	serve(gone.fake, "/models", answers(http.StatusNotFound, `no`))
	p := start(t, seldom(broken, gone), 1)
	if _, err := p.Models(); resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnsuited {
		t.Errorf("Models: %v", err)
	}
	waitFor(t, p, "the broken replica to be refused", func() bool {
		return slices.ContainsFunc(p.Endpoints(), func(e forward.Endpoint) bool { return strings.Contains(e.Problem, "refused because of its /models") })
	})
	if r, err := p.Classify(t.Context(), image); err != nil || r.Replica != gone.URL {
		t.Errorf("Classify: %+v, %v", r, err)
	}
	if _, err := start(t, forward.Config{}, 0).Models(); resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable {
		t.Errorf("Models without replicas: %v", err)
	}
}
