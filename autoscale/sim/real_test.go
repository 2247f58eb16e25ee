package sim

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// TestRealWindows compares on hours of real load, where they are at hand: deadline is to be late less often than Knative's
// autoscaler, at less cost.
func TestRealWindows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(testutil.Root(t), "..", "shared", "traces", "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no real traces in ../shared/traces")
	}
	if testing.Short() {
		t.Skip("five hours of load")
	}
	all := Contestants()
	named := func(name string) Contestant {
		return all[slices.IndexFunc(all, func(c Contestant) bool { return c.Name == name })]
	}
	e := Experiment{Contestants: []Contestant{named("deadline"), named("kpa")}, Seeds: 1, Base: Config{Limits: TraceLimits}}
	for _, file := range files {
		load, err := schedule.Parse(file) // it has a heading
		if err != nil {
			t.Fatal(err)
		}
		e.Traces = append(e.Traces, Trace{Name: filepath.Base(file), Load: load})
	}
	o, err := e.Run(t.Context(), func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	late, cost := o.Ratio(0, 1, Result.Violations).Mean, o.Ratio(0, 1, Result.Cost).Mean
	t.Logf("against kpa: late %.2f, cost %.2f", late, cost)
	if late > 0.9 || cost > 0.85 {
		t.Errorf("against kpa deadline is late %.2f times as often at %.2f of the cost, want 0.9 and 0.85 or less", late, cost)
	}
}
