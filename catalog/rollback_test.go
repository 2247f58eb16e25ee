package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/resnet18cloud/resnet18cloud"
)

// compared answers requests until the file's comparison has ended, and returns its status.
func (w *world) compared(file string) resnet18cloud.ModelStatus {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.compare(ctx) })
	defer func() { cancel(); running.Wait() }()
	for range 5000 {
		m := w.status(file)
		if m.State != resnet18cloud.ModelCanary {
			return m
		}
		w.ask("a")
		synctest.Wait()
	}
	w.t.Fatalf("the comparison of %s does not end", file)
	return resnet18cloud.ModelStatus{}
}

func (w *world) status(file string) resnet18cloud.ModelStatus {
	for _, m := range w.Models().Models {
		if m.File == file {
			return m
		}
	}
	return resnet18cloud.ModelStatus{}
}

// again is a catalog of the same folder: another replica, or one after a restart.
func (w *world) again() *world {
	w.t.Helper()
	other := newWorld(w.t, w.cfg)
	other.dir, other.cfg.Dir = w.dir, w.dir
	other.load()
	return other
}

// TestRollbackIsRemembered rolls a version back, and checks what later catalogs of the folder make of it.
func TestRollbackIsRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := t.TempDir()
		w := newWorld(t, Config{Rules: Rules{Share: 1}, Rollbacks: kept}, "a@1.pth=x")
		w.load()
		w.write("a@2.pth", "y")
		_ = w.Reload(t.Context())
		if m := w.compared("a@2.pth"); m.State != resnet18cloud.ModelRolledBack || !strings.Contains(m.Reason, "0 of 50") {
			t.Fatalf("the new version is %+v, want it rolled back", m)
		}
		files, err := filepath.Glob(kept + "/*")
		if err != nil || len(files) != 1 || filepath.Base(files[0]) != "a@2.pth.7900000000.json" {
			t.Fatalf("kept %q, %v; want one file", files, err)
		}

		after := w.again()
		if got, want := after.states(), []string{"a@1.pth serving", "a@2.pth rolled back"}; !slices.Equal(got, want) {
			t.Errorf("after a restart: %q, want %q", got, want)
		}
		m := after.status("a@2.pth")
		if m.Reason != w.status("a@2.pth").Reason || m.Canary == nil || m.Canary.Compared != 50 || m.Canary.Against != "1" {
			t.Errorf("after a restart: %+v with %+v, want reason and evidence of %+v", m, m.Canary, w.status("a@2.pth"))
		}
		if got := after.ask("a@2"); !strings.Contains(got, "Version 2 of model a is rolled back") {
			t.Errorf("a@2: %s", got)
		}

		// Other content is another version, and so is another name.
		after.write("a@2.pth", "x other")
		_ = after.Reload(t.Context())
		if m := after.compared("a@2.pth"); m.State != resnet18cloud.ModelServing {
			t.Errorf("other content under the same name: %+v, want that it serves", m)
		}
		after.write("a@3.pth", "y")
		_ = after.Reload(t.Context())
		if m := after.status("a@3.pth"); m.State != resnet18cloud.ModelCanary {
			t.Errorf("the same content under another name: %+v, want a comparison", m)
		}

		// Without comparisons the newest serves, whatever was rolled back.
		w.write("a@2.pth", "y")
		w.remove("a@3.pth")
		plain := newWorld(t, Config{Rollbacks: kept})
		plain.cfg.Dir = w.dir
		plain.load()
		if got := plain.ask("a"); got != "y" {
			t.Errorf("without comparisons a is %s, want y", got)
		}

		// Who removes the note has the version compared again.
		third := w.again()
		if err := third.Reload(t.Context()); err != nil || third.status("a@2.pth").State != resnet18cloud.ModelRolledBack {
			t.Errorf("after a reload: %+v, %v", third.status("a@2.pth"), err)
		}
		if err := os.Remove(files[0]); err != nil {
			t.Fatal(err)
		}
		if err := third.Reload(t.Context()); err != nil || third.status("a@2.pth").State != resnet18cloud.ModelCanary {
			t.Errorf("after the note was removed: %+v, %v; want a comparison", third.status("a@2.pth"), err)
		}
	})
}

// TestRollbackIsShared checks that what one replica rolls back, others do not promote, and no longer serve.
func TestRollbackIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Rules: Rules{Share: 1}, Rollbacks: t.TempDir()}, "a@1.pth=x")
		w.load()
		comparing, promoted := w.again(), w.again()
		w.write("a@2.pth", "y")
		for _, r := range []*world{w, comparing, promoted} {
			_ = r.Reload(t.Context())
		}
		promoted.mu.Lock() // as if its pictures had agreed
		promoted.Catalog.mu.Lock()
		promoted.serve(t.Context(), promoted.places["a@2.pth"], "100 of 100")
		promoted.endTrials(t.Context())
		promoted.Catalog.mu.Unlock()
		promoted.mu.Unlock()
		if got := promoted.ask("a"); got != "y" {
			t.Fatalf("the promoted version is %s", got)
		}
		w.compared("a@2.pth")
		for name, r := range map[string]*world{"comparing": comparing, "promoted": promoted} {
			_ = r.update(t.Context(), false)
			if got, want := r.states(), []string{"a@1.pth serving", "a@2.pth rolled back"}; !slices.Equal(got, want) || r.ask("a") != "x" {
				t.Errorf("%s: %q and a is %s, want %q and x", name, got, r.ask("a"), want)
			}
			if got, want := r.status("a@2.pth").Reason, w.status("a@2.pth").Reason; got != want {
				t.Errorf("%s: reason %q, want %q", name, got, want)
			}
			if len(r.trials) != 0 || len(r.held) != 1 {
				t.Errorf("%s: %d comparisons, %d loaded models; want none and one", name, len(r.trials), len(r.held))
			}
		}
	})
}

// TestRolledBackAlone checks that a version that was rolled back serves if there is no other, until there is.
func TestRolledBackAlone(t *testing.T) {
	t.Parallel()
	kept := t.TempDir()
	if err := (rollbacks{kept}).add(rollback{File: "a@2.pth", Hash: "7900000000", Reason: "too slow"}); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, Config{Rules: Rules{Share: 1}, Rollbacks: kept}, "a@2.pth=y")
	w.load()
	if m := w.status("a@2.pth"); w.ask("a") != "y" || m.Reason != "the only version, although it was rolled back: too slow" {
		t.Errorf("alone: a is %s, %+v", w.ask("a"), m)
	}
	w.write("a@3.pth", "z") // nobody has judged it
	_ = w.Reload(t.Context())
	if got, want := w.states(), []string{"a@2.pth serving", "a@3.pth canary"}; !slices.Equal(got, want) {
		t.Errorf("with a newer version: %q, want %q", got, want)
	}
	w.remove("a@3.pth")
	w.write("a@1.pth", "x")
	_ = w.Reload(t.Context())
	if got, want := w.states(), []string{"a@1.pth serving", "a@2.pth rolled back"}; !slices.Equal(got, want) {
		t.Errorf("with an older version: %q, want %q", got, want)
	}
	w.remove("a@1.pth")
	_ = w.Reload(t.Context())
	if got := w.ask("a"); got != "x" {
		t.Errorf("default model after its file was removed: %s, want that it stays", got)
	}
}

// TestUndecided checks what becomes of a comparison when the folder changes.
func TestUndecided(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change  func(w *world)
		states  []string
		file    string
		reason  string
		compare string // file that is compared then
		against string
	}{
		"a third version": {func(w *world) { w.write("a@4.pth", "z") }, []string{"a@1.pth serving", "a@2.pth loaded", "a@4.pth canary"},
			"a@2.pth", "not decided: version 4 is newer and is compared first", "a@4.pth", "1"},
		"one between": {func(w *world) { w.write("a@1.5.pth", "z") }, []string{"a@1.pth serving", "a@1.5.pth loaded", "a@2.pth canary"},
			"a@1.5.pth", "not decided: version 2 is newer and is compared first", "a@2.pth", "1"},
		"the serving version is replaced": {func(w *world) { w.write("a@1.pth", "x other") },
			[]string{"a@1.pth loaded", "a@1.pth serving", "a@2.pth canary"}, "a@1.pth", "not decided: version 2 is newer and is compared first", "a@2.pth", "1"},
		"the serving version again": {func(w *world) {
			_ = os.Remove(w.dir + "/a@1.pth")
			_ = w.update(w.t.Context(), false)
			w.write("a@1.pth", "x")
		}, []string{"a@1.pth serving", "a@2.pth canary"}, "", "", "a@2.pth", "1"},
		"the serving version is removed":  {func(w *world) { w.remove("a@1.pth") }, []string{"a@2.pth serving"}, "a@2.pth", "a@1.pth was removed", "", ""},
		"the compared version is removed": {func(w *world) { w.remove("a@2.pth") }, []string{"a@1.pth serving"}, "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Config{Rules: Rules{Share: 1}}, "a@1.pth=x")
			w.load()
			w.write("a@2.pth", "y")
			_ = w.Reload(t.Context())
			test.change(w)
			if err := w.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := w.states(); !slices.Equal(got, test.states) {
				t.Errorf("states %q, want %q", got, test.states)
			}
			if m := w.status(test.file); test.file != "" && m.Reason != test.reason {
				t.Errorf("%s: reason %q, want %q", test.file, m.Reason, test.reason)
			}
			for _, tr := range w.trials {
				if tr.place.base != test.compare || tr.against.version != test.against {
					t.Errorf("%s is compared with %s, want %s with %s", tr.place.base, tr.against.version, test.compare, test.against)
				}
			}
			if want := min(1, len(test.compare)); len(w.trials) != want {
				t.Errorf("%d comparisons, want %d", len(w.trials), want)
			}
		})
	}
}

// TestWaiting checks that a version that a newer one has interrupted is compared when that has been rolled back, and no more
// when that serves.
func TestWaiting(t *testing.T) {
	t.Parallel()
	for third, test := range map[string]struct {
		states []string
		answer string
	}{
		"z":     {[]string{"a@1.pth loaded", "a@2.pth serving", "a@3.pth rolled back"}, "x second"},
		"x new": {[]string{"a@1.pth loaded", "a@2.pth loaded", "a@3.pth serving"}, "x new"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{Rules: Rules{Share: 1}}, "a@1.pth=x")
			w.load()
			for base, content := range map[string]string{"a@2.pth": "x second", "a@3.pth": third} {
				w.write(base, content)
			}
			_ = w.Reload(t.Context())
			w.compared("a@3.pth")
			w.compared("a@2.pth")
			if got := w.states(); !slices.Equal(got, test.states) || w.ask("a") != test.answer || len(w.trials) != 0 {
				t.Errorf("%s: %q, a is %s; want %q and %s", third, got, w.ask("a"), test.states, test.answer)
			}
		})
	}
}

// TestRollbackFiles checks notes that are missing, not ours, or cannot be written.
func TestRollbackFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := rollbacks{dir}
	if _, ok := k.find("a.pth", "01"); ok || !k.removed("a.pth", "01") {
		t.Error("found what was never kept")
	}
	for i, content := range []string{"", "{", `{"reason": 1}`, "null", "[]", strings.Repeat(" ", 2*maxRollback)} {
		hash := fmt.Sprintf("%02d", i)
		if err := os.WriteFile(k.path("a.pth", hash), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, ok := k.find("a.pth", hash); !ok || r.String() != "no reason in the file that says so" || k.removed("a.pth", hash) {
			t.Errorf("file %.20q: %v, %t; want a rollback without a reason", content, r, ok)
		}
	}
	none := rollbacks{}
	if err := none.add(rollback{File: "a.pth"}); err != nil || none.removed("a.pth", "") {
		t.Errorf("without a folder: %v", err)
	}
	missing := rollbacks{dir + "/missing"}
	if err := missing.add(rollback{File: "a.pth"}); err == nil {
		t.Error("no error for a folder that is missing")
	}
	if err := os.Mkdir(k.path("b.pth", "01"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.add(rollback{File: "b.pth", Hash: "01"}); err == nil {
		t.Error("no error for a file that cannot be written")
	}
	if left, _ := filepath.Glob(dir + "/.new-*"); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}

// TestRollbackNotKept checks that a version whose rollback could not be kept is not tried again by a reload: nobody has removed
// the note.
func TestRollbackNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Rules: Rules{Share: 1}, Rollbacks: t.TempDir() + "/gone"}, "a@1.pth=x")
		w.load()
		w.write("a@2.pth", "y")
		_ = w.Reload(t.Context())
		w.compared("a@2.pth")
		if err := w.Reload(t.Context()); err != nil || w.status("a@2.pth").State != resnet18cloud.ModelRolledBack {
			t.Errorf("after a reload: %+v, %v; want it rolled back", w.status("a@2.pth"), err)
		}
	})
}

// TestRollbackTexts checks that notes of others bring neither long texts nor control characters into the log and the list.
func TestRollbackTexts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ reason, want string }{
		"ours":               {"0 of 50 pictures", "0 of 50 pictures"},
		"control characters": {"slow\n\x1b[2J", "slow  [2J"},
		"long":               {strings.Repeat("é", maxRollbackText), strings.Repeat("é", maxRollbackText/2)},
		"long, odd":          {"x" + strings.Repeat("é", maxRollbackText), "x" + strings.Repeat("é", maxRollbackText/2-1)},
	} {
		data, err := json.Marshal(rollback{Reason: test.reason, Canary: resnet18cloud.Canary{Against: test.reason}})
		if err != nil {
			t.Fatal(err)
		}
		if r := parseRollback(data, "a.pth", "01"); r.Reason != test.want || r.Canary.Against != test.want {
			t.Errorf("%s: reason %.40q with %d bytes, against %.40q; want %.40q", name, r.Reason, len(r.Reason), r.Canary.Against, test.want)
		}
	}
}

func FuzzParseRollback(f *testing.F) {
	f.Add([]byte(`{"file":"a.pth","hash":"01","when":"2026-01-02T03:04:05Z","reason":"too slow","canary":{"against":"1","compared":50}}`))
	f.Add([]byte(`{"when":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := parseRollback(data, "a.pth", "01")
		if r.Reason == "" || r.File != "a.pth" || r.Hash != "01" || r.String() == "" {
			t.Errorf("%+v", r)
		}
	})
}
