package search_test

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/search"
)

// TestTrials checks rates and durations of trials: a percentile needs requests, but no trial takes more than five times
// as long for it.
func TestTrials(t *testing.T) {
	type trial struct {
		rate     float64
		duration time.Duration
	}
	for name, test := range map[string]struct {
		config search.Config
		slo    []string
		want   []trial
	}{
		"defaults":               {search.Config{Max: 30}, []string{"errors<1%"}, []trial{{10, 20 * time.Second}, {20, 20 * time.Second}, {30, 20 * time.Second}}},
		"enough requests":        {search.Config{From: 20, Max: 20, Duration: 4 * time.Second}, []string{"p50<1h"}, []trial{{20, 4 * time.Second}}},
		"more requests":          {search.Config{From: 20, Max: 20, Duration: 4 * time.Second}, []string{"p95<1h"}, []trial{{20, 10 * time.Second}}},
		"the hungriest decides":  {search.Config{From: 20, Max: 20, Duration: 4 * time.Second}, []string{"p95<1h", "p50<1h"}, []trial{{20, 10 * time.Second}}},
		"five times":             {search.Config{From: 20, Max: 20, Duration: 4 * time.Second}, []string{"p99<1h"}, []trial{{20, 20 * time.Second}}},
		"first rate above limit": {search.Config{From: 50, Max: 20, Duration: time.Second}, []string{"errors<1%"}, []trial{{20, time.Second}}},
		"whole seconds":          {search.Config{From: 20, Max: 20, Duration: 2600 * time.Millisecond}, []string{"errors<1%"}, []trial{{20, 3 * time.Second}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.config.Load = withImages(stalling{})
				test.config.SLO = conditions(t, test.slo...)
				var got []trial
				test.config.TrialStarted = func(rate float64, duration time.Duration) { got = append(got, trial{rate, duration}) }
				if _, err := search.Run(t.Context(), test.config); err != nil {
					t.Fatal(err)
				}
				if len(got) != len(test.want) {
					t.Fatalf("trials %v, want %v", got, test.want)
				}
				for i, want := range test.want {
					if got[i] != want {
						t.Errorf("trial %d: %v, want %v", i, got[i], want)
					}
				}
			})
		})
	}
}

// TestRates checks which rates are tried: half as long as none holds, then the middle, in ratio, between the highest that
// holds and the lowest that does not, until they are within a twentieth of each other. Each that fails is tried again.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found, err := search.Run(t.Context(), search.Config{Load: withImages(stalling{}), SLO: conditions(t, "rate<3.2")})
		if err != nil {
			t.Fatal(err)
		}
		var rates []float64
		next := math.Inf(1) // rate above the one found
		for _, trial := range found.Trials {
			rates = append(rates, trial.Rate)
			if trial.Rate > found.Rate {
				next = min(next, trial.Rate)
			}
		}
		if want := []float64{10, 10, 5, 5, 2.5}; len(rates) < 8 || !slices.Equal(rates[:5], want) || math.Abs(rates[5]-2.5*math.Sqrt2) > 1e-9 {
			t.Errorf("rates %.3f, want %v and then %.3f", rates, want, 2.5*math.Sqrt2)
		}
		if want := math.Pow(2, 1./16); math.Abs(next/found.Rate-want) > 1e-9 {
			t.Errorf("%.3f holds and %.3f does not, want a ratio of %.4f", found.Rate, next, want)
		}
	})
}

// TestBest checks which trial stands for a search.
func TestBest(t *testing.T) {
	t.Parallel()
	summaries := make([]*result.Summary, 4)
	for i := range summaries {
		summaries[i] = result.NewSummary()
	}
	trials := func(rates ...float64) (all []search.Trial) { // negative where the conditions do not hold
		for i, rate := range rates {
			all = append(all, search.Trial{Rate: max(rate, -rate), Holds: rate > 0, Summary: summaries[i]})
		}
		return all
	}
	for name, test := range map[string]struct {
		result search.Result
		want   int // -1 for none
	}{
		"no trials":            {search.Result{}, -1},
		"none holds":           {search.Result{Trials: trials(-10, -5)}, 1},
		"only the first":       {search.Result{Rate: 10, Trials: trials(10, -20, -15)}, 0},
		"confirmed":            {search.Result{Rate: 10, Trials: trials(10, -20, 10)}, 2},
		"disturbed once":       {search.Result{Rate: 10, Trials: trials(-10, 10, -20)}, 1},
		"not confirmed":        {search.Result{Rate: 8, Trials: trials(8, 10, -10, 8)}, 3},
		"disturbed at the end": {search.Result{Rate: 8, Trials: trials(8, 10, -8)}, 0},
	} {
		got := test.result.Best()
		if test.want < 0 {
			if got != nil {
				t.Errorf("%s: a summary, want none", name)
			}
		} else if got != summaries[test.want] {
			t.Errorf("%s: not the summary of trial %d", name, test.want)
		}
	}
}

// TestCapacity checks that the capacity is the best rate of answers over ten seconds, or over all of a shorter trial.
func TestCapacity(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		elapsed  time.Duration
		answered []int
		want     float64
	}{
		"nothing":            {0, nil, 0},
		"within a second":    {300 * time.Millisecond, []int{7}, 7},
		"four seconds":       {4500 * time.Millisecond, []int{4, 8, 6, 6, 1}, 6},
		"ten seconds":        {10 * time.Second, []int{9, 9, 9, 9, 9, 9, 9, 9, 9, 19}, 10},
		"best at the end":    {12 * time.Second, []int{1, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 19}, 10},
		"best at the start":  {12 * time.Second, []int{19, 9, 9, 9, 9, 9, 9, 9, 9, 9, 1, 1}, 10},
		"best in the middle": {12 * time.Second, []int{1, 19, 9, 9, 9, 9, 9, 9, 9, 9, 9, 1}, 10},
	} {
		s := result.NewSummary()
		s.Elapsed = test.elapsed
		for _, n := range test.answered {
			s.Timeline = append(s.Timeline, result.Second{Answered: n})
		}
		r := search.Result{Trials: []search.Trial{{Summary: s}, {Summary: result.NewSummary()}}}
		if got := r.Capacity(); got != test.want {
			t.Errorf("%s: capacity %v, want %v", name, got, test.want)
		}
	}
}

// TestReplicaCost checks for which samples the cost of an image is known.
func TestReplicaCost(t *testing.T) {
	t.Parallel()
	sample := func(at int, cpu, memory float64) result.Sample {
		return result.Sample{At: time.Duration(at) * time.Second, Metrics: map[string]float64{
			"resnet18_replica_slots": 1, "process_cpu_seconds_total": cpu, "process_resident_memory_bytes": memory,
		}}
	}
	other := result.Sample{At: 3 * time.Second, Metrics: map[string]float64{"process_cpu_seconds_total": 99, "process_resident_memory_bytes": 999}}
	for name, test := range map[string]struct {
		holds       bool
		server      []result.Sample
		cpu, memory float64
		ok          bool
	}{
		"two samples":       {true, []result.Sample{sample(0, 1, 70), sample(2, 3, 60)}, 0.1, 70, true},
		"three samples":     {true, []result.Sample{sample(0, 1, 60), sample(1, 1, 80), sample(2, 3, 70)}, 0.1, 80, true},
		"other servers":     {true, []result.Sample{other, sample(0, 1, 60), sample(2, 3, 60), other}, 0.1, 60, true},
		"no samples":        {true, nil, 0, 0, false},
		"one sample":        {true, []result.Sample{sample(0, 1, 60)}, 0, 0, false},
		"no answers":        {true, []result.Sample{sample(3, 1, 60), sample(4, 3, 60)}, 0, 0, false},
		"only other server": {true, []result.Sample{other, other}, 0, 0, false},
		"no rate holds":     {false, []result.Sample{sample(0, 1, 60), sample(2, 3, 60)}, 0, 0, false},
	} {
		s := result.NewSummary()
		s.Server, s.Timeline = test.server, []result.Second{{Answered: 8}, {Answered: 12}, {Answered: 50}}
		r := search.Result{Rate: 10, Trials: []search.Trial{{Rate: 10, Holds: test.holds, Summary: s}}}
		if cpu, memory, ok := r.ReplicaCost(); cpu != test.cpu || memory != test.memory || ok != test.ok {
			t.Errorf("%s: %v, %v, %v; want %v, %v, %v", name, cpu, memory, ok, test.cpu, test.memory, test.ok)
		}
	}
}
