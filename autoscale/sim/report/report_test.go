package report

import (
	"context"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

func TestReplace(t *testing.T) {
	t.Parallel()
	sections := map[string]string{"a": "new a\n", "b": "new b\n"}
	got, err := Replace("x\n<!-- simulate:a -->\nold\n<!-- end -->\ny <!-- end -->\n<!-- simulate:b -->\n<!-- end -->\nz", "simulate", sections)
	if want := "x\n<!-- simulate:a -->\nnew a\n<!-- end -->\ny <!-- end -->\n<!-- simulate:b -->\nnew b\n<!-- end -->\nz"; err != nil || got != want {
		t.Errorf("replace = %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"<!-- simulate:c -->\n<!-- end -->", "<!-- simulate:a -->\n", "<!-- simulate:a"} {
		if _, err := Replace(bad, "simulate", sections); err == nil {
			t.Errorf("replace(%q): no error", bad)
		}
	}
}

// TestDocumentListsThePolicies checks that docs/autoscaling.md lists the policies that there are.
func TestDocumentListsThePolicies(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(filepath.Join(testutil.Root(t), "docs", "autoscaling.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "<!-- simulate:policies -->\n" + policiesTable() + "<!-- end -->"; !strings.Contains(string(document), want) {
		t.Errorf("docs/autoscaling.md has another list of policies, want\n%s", want)
	}
}

// small is an outcome of all policies on short traces, with the names of those that have pictures.
func small(t *testing.T) sim.Outcome {
	t.Helper()
	e := sim.Experiment{Contestants: sim.Contestants(), Seeds: 2, Base: sim.Config{Limits: sim.TraceLimits}}
	for _, name := range []string{"step", "mmpp", "twitter-1"} {
		e.Traces = append(e.Traces, sim.Trace{Name: name, About: "short", Load: schedule.Step(100, 400, 3*time.Minute)})
	}
	o, err := e.Run(t.Context(), func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestWritesTheDocument runs the report on a small study and the real document: every section is known and
// filled, every picture that the document shows is drawn.
func TestWritesTheDocument(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(filepath.Join(testutil.Root(t), "docs", "autoscaling.md"))
	if err != nil {
		t.Fatal(err)
	}
	o := small(t)
	few := o
	few.Contestants = o.Contestants[:4]
	s := &Study{Main: o, HoldOut: o, Ablation: o, Shed: few, Delays: []Variant{{"slow", few}}, Zero: []Variant{{"1 s", few}}, Took: time.Second,
		Sweeps: []Sweep{{"deadline", "a knob", []string{"1", "2"}, o}}}
	path := filepath.Join(t.TempDir(), "autoscaling.md")
	if err := os.WriteFile(path, document, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteInto(path); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range s.sections() {
		if !strings.Contains(string(written), "<!-- simulate:"+name+" -->\n"+content+"<!-- end -->") || content == "" {
			t.Errorf("section %q is not in its place", name)
		}
		if !strings.Contains(string(document), "<!-- simulate:"+name+" -->") {
			t.Errorf("docs/autoscaling.md has no place for section %q", name)
		}
	}
	pictures := 0
	for line := range strings.Lines(string(document)) {
		_, name, shown := strings.Cut(line, "](img/")
		if !shown {
			continue
		}
		if strings.HasPrefix(name, "autoscaling-live") { // bench/autoscale draws it
			continue
		}
		pictures++
		f, err := os.Open(filepath.Join(filepath.Dir(path), "img", strings.TrimSuffix(strings.TrimSpace(name), ")")))
		if err != nil {
			t.Errorf("docs/autoscaling.md shows a picture that is not drawn: %v", err)
			continue
		}
		if _, err := png.Decode(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
	if pictures < 4 {
		t.Errorf("docs/autoscaling.md shows %d pictures, want 4 or more", pictures)
	}
}

func TestStudyStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, 1, func(int, int) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want cancelled", err)
	}
}

func TestGoalsAreJudged(t *testing.T) {
	t.Parallel()
	table := goalsTable(small(t))
	if n := strings.Count(table, ": holds") + strings.Count(table, ": **does not hold**"); n != 6 {
		t.Errorf("%d verdicts, want 6:\n%s", n, table)
	}
}
