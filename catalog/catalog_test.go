package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/reread"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a model whose answers all have its content: one of a mixture would show. Files have the content "label" or
// "label slow", "broken" fails to load, and "fails" fails to classify.
type fake struct {
	t       *testing.T
	content string
	begun   chan struct{} // if not nil, receives when Classify has begun
	goOn    chan struct{} // if not nil, Classify waits for it
	users   atomic.Int32
	closed  atomic.Bool
}

func (f *fake) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	f.users.Add(1)
	defer f.users.Add(-1)
	if f.closed.Load() {
		f.t.Error("a closed model was used")
	}
	if f.goOn != nil && string(image.Bytes) == "wait" {
		f.begun <- struct{}{}
		<-f.goOn
	}
	label, kind, _ := strings.Cut(f.content, " ")
	r := resnet18cloud.Result{Model: f.content, Predictions: []string{label}}
	r.Timing.Inference = time.Millisecond
	switch kind {
	case "slow":
		r.Timing.Inference = 2 * time.Millisecond
	case "fails":
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: "not a number"}
	}
	if string(image.Bytes) == "bad" {
		return resnet18cloud.Result{}, &resnet18cloud.Error{Code: resnet18cloud.CodeUndecodable, Message: "damaged"}
	}
	return r, ctx.Err()
}

func (f *fake) info() resnet18cloud.ModelInfo {
	return resnet18cloud.ModelInfo{Precision: "fp32", Preprocessing: "of " + f.content, Activation: "softmax"}
}

// world is a folder with a catalog.
type world struct {
	*Catalog
	t   *testing.T
	dir string

	mu     sync.Mutex
	models []*fake // guarded by mu: in the order in which they were loaded
}

func newWorld(t *testing.T, cfg Config, files ...string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	for _, f := range files {
		base, content, _ := strings.Cut(f, "=")
		w.write(base, content)
	}
	cfg.Dir = w.dir
	cfg.Open = func(_ context.Context, path string) (Model, error) {
		content, err := os.ReadFile(path)
		if err != nil {
			return Model{}, err
		}
		if string(content) == "broken" {
			return Model{}, fmt.Errorf("load weights %s: golden picture cat.jpg: dog", path)
		}
		f := &fake{t: t, content: string(content), begun: make(chan struct{}), goOn: make(chan struct{})}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.models = append(w.models, f)
		return Model{Classifier: f, Identity: string(content), Version: fmt.Sprintf("%x00000000", content), Classes: 2, Labels: 2, Info: f.info, Close: func() {
			if f.users.Load() > 0 || f.closed.Swap(true) {
				t.Errorf("%s: closed while in use, or twice", content)
			}
		}}, nil
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Catalog = c
	t.Cleanup(func() {
		c.Close()
		for _, f := range w.models {
			if !f.closed.Load() {
				t.Errorf("%s is not closed", f.content)
			}
		}
	})
	return w
}

// write replaces a file by renaming another over it.
func (w *world) write(base, content string) {
	w.t.Helper()
	path := filepath.Join(w.dir, base)
	if err := os.WriteFile(path+".part", []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".part", path); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(base string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.dir, base)); err != nil {
		w.t.Fatal(err)
	}
}

// ask returns the content of the model that answers, or the error.
func (w *world) ask(model string) string {
	r, err := w.Classify(w.t.Context(), resnet18cloud.Image{Want: resnet18cloud.Want{Model: model}})
	if err != nil {
		e := resnet18cloud.AsError(err)
		return string(e.Code) + ": " + e.Message + "; " + e.Hint
	}
	return r.Model
}

// states lists the models as "file state".
func (w *world) states() (states []string) {
	for _, m := range w.Models().Models {
		states = append(states, fmt.Sprintf("%s %s", m.File, m.State))
	}
	return states
}

func (w *world) load() {
	w.t.Helper()
	if err := w.Load(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{Default: "trash"}, "ants.pth=A", "trash@2.pth=T2", "trash@10.pth=T10", "notes.txt=-")
	w.load()
	for model, want := range map[string]string{
		"": "T10", "trash": "T10", "trash@10": "T10", "trash@2": "T2", "ants": "A", "ants@41000000": "A",
		"bees":        `not_found: There is no model "bees"; use one of: ants, trash`,
		"trash@3":     `not_found: Model trash has no version "3"; use one of: 2, 10`,
		"ants@410000": `not_found: Model ants has no version "410000"; use one of: 41000000`,
	} {
		if got := w.ask(model); got != want {
			t.Errorf("model %q: %s, want %s", model, got, want)
		}
	}
	if got, want := w.states(), []string{"ants.pth serving", "trash@2.pth loaded", "trash@10.pth serving"}; !slices.Equal(got, want) {
		t.Errorf("states %q, want %q", got, want)
	}
	if got, want := w.Models().Models[0], (resnet18cloud.ModelStatus{Name: "ants", Version: "41000000", File: "ants.pth", State: resnet18cloud.ModelServing,
		Reason: "first version", Identity: "A", Hash: "4100000000", Precision: "fp32", Preprocessing: "of A", Activation: "softmax", Classes: 2, Labels: 2}); got != want {
		t.Errorf("model %+v, want %+v", got, want)
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		standard string // the default model
		files    []string
		want     string
	}{
		"none":              {"", []string{"notes.txt=-"}, "has no models"},
		"several":           {"", []string{"a.pth=A", "b.pth=B"}, "several models (a, b); say with"},
		"several, one bad":  {"", []string{"a.pth=broken", "b.pth=B"}, "several models (a, b); say with"},
		"all bad":           {"", []string{"a.pth=broken", "a b.pth=B"}, "no model of folder "},
		"all bad, reasons":  {"", []string{"a.pth=broken", "a b.pth=B"}, "a.pth: golden picture cat.jpg: dog"},
		"a bad name":        {"", []string{"a b.pth=A"}, `file name "a b.pth"`},
		"the default bad":   {"a", []string{"a@1.pth=broken", "b.pth=B"}, "the default model a cannot be served: a@1.pth: golden picture cat.jpg: dog"},
		"another default":   {"c", []string{"a.pth=A", "b.pth=broken"}, `no model "c", the default; it has a, b`},
		"the default twice": {"a", []string{"a@2.pth=broken", "a@2.onnx=broken", "b.pth=B"}, "a@2.pth: a@2.onnx has the same name"},
	} {
		err := newWorld(t, Config{Default: test.standard}, test.files...).Load(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	w := newWorld(t, Config{})
	w.cfg.Dir += "/missing"
	if err := w.Load(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newWorld(t, Config{}, "a.pth=A").Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// TestStartWithBadFiles checks that a file that cannot be loaded does not keep the others from serving, and is named.
func TestStartWithBadFiles(t *testing.T) {
	t.Parallel()
	many := slices.Collect(func(yield func(string) bool) {
		for i := range DefaultMaxModels + 1 {
			if !yield(fmt.Sprintf("a@%d.pth=A%d", i, i)) {
				return
			}
		}
	})
	for name, test := range map[string]struct {
		standard      string
		files         []string
		answer        string // of the default model
		refused, says string // file and reason
	}{
		"a newer version":  {"", []string{"a@1.pth=A1", "a@2.pth=broken"}, "A1", "a@2.pth", "golden picture"},
		"another model":    {"b", []string{"a.pth=broken", "b.pth=B"}, "B", "a.pth", "golden picture"},
		"a name":           {"", []string{"a b.pth=A", "b.pth=B"}, "B", "a b.pth", `file name "a b.pth"`},
		"the same version": {"", []string{"a@2.pth=A", "a@2.onnx=B"}, "B", "a@2.pth", "a@2.onnx has the same name"},
		"too many":         {"", many, "A15", "a@16.pth", "16 models are loaded"},
	} {
		w := newWorld(t, Config{Default: test.standard}, test.files...)
		w.load()
		if got := w.ask(""); got != test.answer {
			t.Errorf("%s: the default model is %s, want %s", name, got, test.answer)
		}
		found := slices.ContainsFunc(w.Models().Models, func(m resnet18cloud.ModelStatus) bool {
			return m.File == test.refused && m.State == resnet18cloud.ModelRefused && strings.Contains(m.Reason, test.says)
		})
		if !found {
			t.Errorf("%s: %+v, want %s refused: %s", name, w.Models().Models, test.refused, test.says)
		}
	}
}

// TestChanges tells the story of a folder.
func TestChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, "a@1.pth=one")
	w.load()
	for _, step := range []struct {
		name   string
		change func()
		answer string   // of the name a
		states []string // afterwards
	}{
		{"new version", func() { w.write("a@2.pth", "two") }, "two", []string{"a@1.pth loaded", "a@2.pth serving"}},
		{"broken version", func() { w.write("a@3.pth", "broken") }, "two", []string{"a@1.pth loaded", "a@2.pth serving", "a@3.pth refused"}},
		{"repaired", func() { w.write("a@3.pth", "three") }, "three", []string{"a@1.pth loaded", "a@2.pth loaded", "a@3.pth serving"}},
		{"older version", func() { w.write("a.pth", "zero") }, "three", []string{"a@1.pth loaded", "a@2.pth loaded", "a@3.pth serving", "a.pth loaded"}},
		{"other model", func() { w.remove("a.pth"); w.write("b.pth", "B") }, "three", []string{"a@1.pth loaded", "a@2.pth loaded", "a@3.pth serving", "b.pth serving"}},
		{"replaced", func() { w.write("a@3.pth", "three!!") }, "three!!", []string{"a@1.pth loaded", "a@2.pth loaded", "a@3.pth serving", "b.pth serving"}},
		{"replaced by a broken one", func() { w.write("a@3.pth", "broken"); w.write("a@1.pth", "broken") }, "three!!",
			[]string{"a@1.pth loaded", "a@1.pth refused", "a@2.pth loaded", "a@3.pth refused", "a@3.pth serving", "b.pth serving"}},
		{"newest removed", func() { w.remove("a@3.pth") }, "two", []string{"a@1.pth loaded", "a@1.pth refused", "a@2.pth serving", "b.pth serving"}},
		{"others removed", func() { w.remove("a@1.pth"); w.remove("b.pth") }, "two", []string{"a@2.pth serving"}},
		{"default removed", func() { w.remove("a@2.pth") }, "two", []string{"a@2.pth serving"}},
		{"default is back", func() { w.write("a.pth", "four") }, "four", []string{"a.pth serving"}},
	} {
		step.change()
		_ = w.Reload(t.Context())
		if got := w.ask("a"); got != step.answer {
			t.Errorf("%s: a is %s, want %s", step.name, got, step.answer)
		}
		if got := w.states(); !slices.Equal(got, step.states) {
			t.Fatalf("%s: %q, want %q", step.name, got, step.states)
		}
	}
}

// TestReloadReports checks that errors name the files, that good files are loaded beside bad ones, and that refused files are
// tried again.
func TestReloadReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, "a@1.pth=one")
	w.load()
	w.write("a@2.pth", "broken")
	w.write("b.pth", "B")
	for range 2 {
		if err := w.Reload(t.Context()); err == nil || err.Error() != "a@2.pth: golden picture cat.jpg: dog" { // the name once
			t.Errorf("Reload: %v", err)
		}
		if got := w.ask("b"); got != "B" {
			t.Errorf("b is %s", got)
		}
	}
	if got, want := w.ask("a@2"), `Version 2 of model a is refused`; !strings.Contains(got, want) {
		t.Errorf("a@2: %s, want %s", got, want)
	}
	w.cfg.Dir += "/missing"
	if err := w.Reload(t.Context()); err == nil || w.Models().Problem == "" || w.ask("a") != "one" {
		t.Errorf("folder away: %v, problem %q, a is %s", err, w.Models().Problem, w.ask("a"))
	}
}

// TestRun checks that a folder is followed, and that a file counts when two looks agree.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, "a.pth=one")
		w.load()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = w.Run(ctx) })
		pass := func() {
			time.Sleep(reread.Interval)
			synctest.Wait()
		}
		pass()
		w.write("a.pth", "second")
		pass()
		if got := w.ask("a"); got != "one" {
			t.Errorf("after one look: %s", got)
		}
		pass()
		if got := w.ask("a"); got != "second" {
			t.Errorf("after two looks: %s", got)
		}
		cancel()
		running.Wait()
	})
}

// TestSwapWaits checks that a request ends with the model that it began with, which is closed after that.
func TestSwapWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, "a.pth=one")
	w.load()
	old := w.models[0]
	var answer sync.WaitGroup
	answer.Go(func() {
		r, err := w.Classify(t.Context(), resnet18cloud.Image{Bytes: []byte("wait")})
		if err != nil || r.Model != "one" {
			t.Errorf("answer of %s, %v", r.Model, err)
		}
	})
	<-old.begun
	w.write("a.pth", "second")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.ask(""); got != "second" || old.closed.Load() {
		t.Errorf("a is %s, the old model is closed: %t", got, old.closed.Load())
	}
	close(old.goOn)
	answer.Wait()
}

// TestServingDefault checks that the default model can be described at any time after Load, also late: a server may have a
// request left when it closes the models.
func TestServingDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, "a@1.pth=one")
	if m, ok := w.ServingDefault(); ok {
		t.Errorf("before Load: %+v", m)
	}
	w.load()
	w.write("a@2.pth", "two")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"in service", "after Close"} {
		if m, ok := w.ServingDefault(); !ok || m.Identity != "two" {
			t.Errorf("%s: %+v, %t; want version 2", when, m, ok)
		}
		w.Close()
	}
	if got := w.ask(""); !strings.HasPrefix(got, "not_found") {
		t.Errorf("a request after Close: %s", got)
	}
}

// TestCloseWaits checks that Close waits for a request whose picture is being compared, and then ends.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Rules: Rules{Share: 1}}, "a.pth=one")
		w.load()
		old := w.models[0]
		w.write("a.pth", "second")
		if err := w.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		var answer, closing sync.WaitGroup
		answer.Go(func() {
			r, err := w.Classify(t.Context(), resnet18cloud.Image{Bytes: []byte("wait")})
			if err != nil || r.Model != "one" {
				t.Errorf("answer of %s, %v", r.Model, err)
			}
		})
		<-old.begun
		closing.Go(w.Close)
		synctest.Wait()
		if old.closed.Load() {
			t.Error("the model is closed while it answers")
		}
		close(old.goOn)
		answer.Wait()
		closing.Wait()
	})
}

// TestSwapUnderLoad swaps models while many requests are in progress: none may fail or meet a closed model.
func TestSwapUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{Rules: Rules{Share: 0.5, Live: true}}, "a.pth=x 0")
	w.load()
	ctx, cancel := context.WithCancel(t.Context())
	var g sync.WaitGroup
	g.Go(func() { _ = w.Run(ctx) })
	var asked atomic.Int64
	for range 8 {
		g.Go(func() {
			for ctx.Err() == nil {
				if r, err := w.Classify(t.Context(), resnet18cloud.Image{}); err != nil || !strings.HasPrefix(r.Model, "x ") {
					t.Errorf("answer of %q, %v", r.Model, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := range 30 {
		before := asked.Load()
		w.write("a.pth", fmt.Sprintf("x %0*d", i+1, i))
		if err := w.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		for asked.Load() < before+100 && !t.Failed() {
			w.Models()
		}
	}
	cancel()
	g.Wait()
}

// TestCanary compares versions and checks which one serves afterwards.
func TestCanary(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		candidate string
		live      bool
		state     resnet18cloud.ModelState
		reason    string
	}{
		"same labels":       {"x new", false, resnet18cloud.ModelServing, "100 of 100"},
		"same labels, live": {"x new", true, resnet18cloud.ModelServing, "100 of 100"},
		"other labels":      {"y", false, resnet18cloud.ModelRolledBack, "0 of 50"},
		"other labels live": {"y", true, resnet18cloud.ModelRolledBack, "0 of 50"},
		"slow":              {"x slow", false, resnet18cloud.ModelRolledBack, "took more than 1.5 times as long for 50 of 50"},
		"slow, live":        {"x slow", true, resnet18cloud.ModelRolledBack, "took more than 1.5 times as long for 50 of 50"},
		"fails":             {"x fails", false, resnet18cloud.ModelRolledBack, "failed to classify 1"},
		"fails, live":       {"x fails", true, resnet18cloud.ModelRolledBack, "failed to classify 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{Rules: Rules{Share: 0.25, Live: test.live}}, "a@1.pth=x")
				w.load()
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { w.compare(ctx) })
				w.write("a@2.pth", test.candidate)
				if err := w.Reload(t.Context()); err != nil {
					t.Fatal(err)
				}
				byNew, n := 0, 0
				for ; n < 1000 && w.Models().Models[1].State == resnet18cloud.ModelCanary; n++ {
					image := resnet18cloud.Image{Bytes: []byte{byte(n)}}
					r, err := w.Classify(t.Context(), image)
					if err != nil {
						t.Fatal(err)
					}
					if r.Model == test.candidate {
						byNew++
					}
					// Neither damaged pictures nor features count.
					if n%3 > 0 {
						synctest.Wait()
						continue // else all samples would be damaged ones
					}
					image.Bytes = []byte("bad")
					if _, err := w.Classify(t.Context(), image); resnet18cloud.AsError(err).Code != resnet18cloud.CodeUndecodable {
						t.Errorf("a damaged picture: %v", err)
					}
					image.Want.Embedding = true
					_, _ = w.Classify(t.Context(), image)
					image.Bytes, image.Want = nil, resnet18cloud.Want{Model: "a@1"}
					if r, _ := w.Classify(t.Context(), image); r.Model != "x" {
						t.Errorf("version 1 is answered by %s", r.Model)
					}
					synctest.Wait()
				}
				m := w.Models().Models[1]
				if m.State != test.state || !strings.Contains(m.Reason, test.reason) || m.Canary == nil || m.Canary.Against != "1" {
					t.Errorf("%+v with %+v after %d requests, want %s for %q", m, m.Canary, n, test.state, test.reason)
				}
				if (byNew > 0) != (test.live && !strings.HasSuffix(test.candidate, "fails")) {
					t.Errorf("the new version answered %d of %d", byNew, n)
				}
				want := "x"
				if test.state == resnet18cloud.ModelServing {
					want = test.candidate
				}
				if got := w.ask("a"); got != want {
					t.Errorf("a is %s, want %s", got, want)
				}
				if err := w.Reload(t.Context()); err != nil || w.ask("a") != want {
					t.Errorf("after a reload: %s, %v", w.ask("a"), err)
				}
				cancel()
				running.Wait()
			})
		})
	}
}

// TestCanaryQueue checks that pictures wait for the comparison in bounded number, and that a trial that is over forgets them.
func TestCanaryQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{Rules: Rules{Share: 1}}, "a.pth=x")
	w.load()
	w.write("a.pth", "second")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := w.states(), []string{"a.pth serving", "a.pth canary"}; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("states %q, want %q", got, want)
	}
	for range maxPairs + 3 {
		if got := w.ask(""); got != "x" {
			t.Errorf("answered by %s", got)
		}
	}
	for _, m := range w.Models().Models {
		if m.State == resnet18cloud.ModelCanary && m.Canary.Skipped != 3 {
			t.Errorf("%d skipped, want 3", m.Canary.Skipped)
		}
	}
	w.write("a.pth", "the third")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(w.held); got != 2 {
		t.Errorf("%d models are loaded, want 2", got)
	}
}

// TestCanaryStart checks that versions that are there at the start are not compared.
func TestCanaryStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{Rules: Rules{Share: 1}}, "a@1.pth=x", "a@2.pth=y")
	w.load()
	if got := w.ask("a"); got != "y" || len(w.trials) != 0 {
		t.Errorf("a is %s, %d comparisons; want y and none", got, len(w.trials))
	}
}

// TestBothFail checks that pictures which the version in service cannot classify say nothing about the new one.
func TestBothFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{Rules: Rules{Share: 1, Live: true}}, "a@1.pth=x fails")
	w.load()
	w.write("a@2.pth", "y fails")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.ask("a"); !strings.Contains(got, "not a number") {
		t.Errorf("answer %s", got)
	}
	if m := w.Models().Models[1]; m.State != resnet18cloud.ModelCanary || *m.Canary != (resnet18cloud.Canary{Share: 1, Against: "1"}) {
		t.Errorf("%+v with %+v, want a comparison without evidence", m, m.Canary)
	}
}

// TestTensorsAreNotCompared checks that inputs which a client has prepared for the version that serves do not go to one that may
// want others.
func TestTensorsAreNotCompared(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{false, true} {
		w := newWorld(t, Config{Rules: Rules{Share: 1, Live: live}}, "a@1.pth=x")
		w.load()
		w.write("a@2.pth", "y")
		_ = w.Reload(t.Context())
		for range 3 {
			r, err := w.Classify(t.Context(), resnet18cloud.Image{Want: resnet18cloud.Want{Tensor: true}})
			if err != nil || r.Model != "x" {
				t.Errorf("live %t: %s, %v; want the answer of the version that serves", live, r.Model, err)
			}
		}
		if len(w.pairs) > 0 {
			t.Errorf("live %t: %d tensors wait for the other version", live, len(w.pairs))
		}
	}
}

// TestComparedLater checks that the picture for the version that did not answer is a copy, which may be used after the request.
func TestComparedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{Rules: Rules{Share: 1}}, "a@1.pth=x")
	w.load()
	w.write("a@2.pth", "y")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	image := resnet18cloud.Image{Bytes: []byte("junco"), Slow: func() error { return nil }}
	if _, err := w.Classify(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	clear(image.Bytes)
	p := <-w.pairs
	w.done(p.other)
	if string(p.image.Bytes) != "junco" || p.image.Slow != nil {
		t.Errorf("it has the bytes %q, and calls the request if it is slow: %t", p.image.Bytes, p.image.Slow != nil)
	}
}
