package sim

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEstimate has the worked example of the textbook: 5 values with mean 3 and variance 2.5 lie within
// 2.776 sqrt(2.5/5) = 1.963.
func TestEstimate(t *testing.T) {
	t.Parallel()
	e := estimate([]float64{1, 2, 3, 4, 5})
	if math.Abs(e.Mean-3) > 1e-12 || math.Abs(e.Plus-1.963) > 1e-3 {
		t.Errorf("estimate = %+v, want 3 +- 1.963", e)
	}
	if e := estimate([]float64{7}); e.Mean != 7 || !math.IsInf(e.Plus, 1) {
		t.Errorf("estimate of one value = %+v, want 7 and no idea", e)
	}
}

// TestOrderOfPolicies checks the claims of docs/autoscaling.md with one seed and a few traces, with room for
// chance: deadline is late far less often than hpa-cpu and threshold, at less cost; the oracle is better.
func TestOrderOfPolicies(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("many millions of images, which the race detector makes slow")
	}
	var traces []Trace
	for _, trace := range Traces() {
		switch trace.Name {
		case "step", "spikes", "mmpp", "burst", "slowdown":
			traces = append(traces, trace)
		}
	}
	all := Contestants()
	e := Experiment{Traces: traces, Contestants: all, Seeds: 2, Base: Config{Limits: TraceLimits}}
	last := 0
	o, err := e.Run(t.Context(), func(done, total int) {
		if done <= last || total != len(traces)*len(all)*2 {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	})
	if err != nil {
		t.Fatal(err)
	}
	index := map[string]int{}
	for i, c := range all {
		index[c.Name] = i
	}
	for other, most := range map[string]struct{ violations, cost float64 }{
		"hpa-cpu": {0.35, 0.85}, "threshold": {0.9, 0.75}, "kpa": {1.25, 0.85},
	} {
		v := o.Ratio(0, index[other], Result.Violations).Mean
		cost := o.Ratio(0, index[other], Result.Cost).Mean
		if v > most.violations || cost > most.cost {
			t.Errorf("deadline against %s: %.2f of the violations at %.2f of the cost, want at most %.2f and %.2f", other, v, cost, most.violations, most.cost)
		}
	}
	if v := o.Over(index["oracle"], Result.Violations).Mean; v > 0.002 {
		t.Errorf("the oracle has %.4f violations", v)
	}
}

// TestConstantLoads checks that chance alone makes deadline change the number of few replicas hardly ever.
func TestConstantLoads(t *testing.T) {
	t.Parallel()
	limits := TraceLimits
	limits.Min = 1
	for _, rate := range []float64{1, 5, 15, 20} {
		e := Experiment{Traces: []Trace{{Load: schedule.Constant(rate, time.Hour)}}, Contestants: Contestants()[:1], Seeds: 6, Base: Config{Limits: limits}}
		o, err := e.Run(t.Context(), func(int, int) {})
		if err != nil {
			t.Fatal(err)
		}
		changes := o.Over(0, func(r Result) float64 { return float64(r.Changes) })
		if violations := o.Over(0, Result.Violations); changes.Mean > 6 || violations.Mean > 0.0005 {
			t.Errorf("%v images/s: %.1f changes in an hour and %.4f of images late, want at most 6 and none", rate, changes.Mean, violations.Mean)
		}
	}
}

// TestComparisonStops checks that it ends with its context.
func TestComparisonStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	e := Experiment{Traces: []Trace{{Load: schedule.Constant(100, time.Minute)}}, Contestants: Contestants(), Seeds: 50}
	_, err := e.Run(ctx, func(done, _ int) {
		if done == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want cancelled", err)
	}
}
