package compare_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/load/compare"
	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// queueing is a run of n requests at a rate against a server that takes a random time for each, one after the other:
// latencies of neighbors depend on each other, as those of real servers do.
func queueing(seed uint64, n int, perSecond float64, mean time.Duration) *result.Summary {
	r := rand.New(rand.NewPCG(seed, 5))
	s := result.NewSummary()
	s.Schedule = "poisson"
	due, free := time.Duration(0), time.Duration(0)
	for range n {
		due += time.Duration(r.ExpFloat64() / perSecond * float64(time.Second))
		free = max(free, due) + time.Duration((0.5+r.Float64())*float64(mean))
		s.Add(result.Record{Intended: due, Sent: due, Accepted: due, Done: free, Inference: mean})
	}
	s.Elapsed = max(due, free)
	return s
}

func find(t *testing.T, c compare.Comparison, name string) compare.Row {
	t.Helper()
	for _, row := range c.Rows {
		if row.Name == name {
			return row
		}
	}
	t.Fatalf("no row %q in %+v", name, c.Rows)
	return compare.Row{}
}

// TestNoise compares runs against the same server, and against one that takes a fifth longer. The former must rarely be
// called different, the latter always.
func TestNoise(t *testing.T) {
	t.Parallel()
	const pairs = 12
	alarms, judged := 0, 0
	for i := range uint64(pairs) {
		a, b := queueing(2*i, 1500, 25, 20*time.Millisecond), queueing(2*i+1, 1500, 25, 20*time.Millisecond)
		c := compare.Runs(a, b)
		for _, name := range []string{"answers", "p50", "p90", "p95"} {
			judged++
			if row := find(t, c, name); row.Word != compare.Noise {
				alarms++
			}
		}
		slow := compare.Runs(a, queueing(2*i+1, 1500, 25, 24*time.Millisecond))
		if row := find(t, slow, "p50"); row.Word != compare.Slower || !(row.Low < row.Ratio && row.Ratio < row.High) {
			t.Errorf("pair %d: p50 of a server that takes a fifth longer: %+v", i, row)
		}
		fast := compare.Runs(queueing(2*i+1, 1500, 25, 24*time.Millisecond), a)
		if row := find(t, fast, "p50"); row.Word != compare.Faster {
			t.Errorf("pair %d: p50 of a faster server: %+v", i, row)
		}
	}
	t.Logf("%d of %d figures without a difference were called different", alarms, judged)
	if alarms > judged/20 {
		t.Errorf("%d of %d figures without a difference were called different, want at most a twentieth", alarms, judged)
	}
}

// TestSameRun checks that a run does not differ from itself, in any figure.
func TestSameRun(t *testing.T) {
	t.Parallel()
	c := compare.Runs(queueing(1, 3000, 25, 20*time.Millisecond), queueing(1, 3000, 25, 20*time.Millisecond))
	for _, row := range c.Rows {
		if row.Name == "failed" || row.Name == "p99.9" || row.Name == "inference p50" || row.Name == "inference p99" {
			continue
		}
		if row.Ratio != 1 || row.Low != 1 || row.High != 1 || row.Word != compare.Noise {
			t.Errorf("%+v, want the same", row)
		}
	}
	if row := find(t, c, "p99.9"); row.Word != compare.Unreliable || !math.IsNaN(row.Low) {
		t.Errorf("three requests beyond it: %+v", row)
	}
	if row := find(t, c, "inference p50"); row.Word != compare.Unjudged || row.A < 19.9 || row.A > 20.1 || row.Ratio != 1 {
		t.Errorf("inference: %+v", row)
	}
	if len(c.Different) > 0 {
		t.Errorf("different: %v", c.Different)
	}
}

// TestRampIsNotNoise checks that a load that changes, alike in both runs, does not hide a small difference.
func TestRampIsNotNoise(t *testing.T) {
	t.Parallel()
	ramp := func(factor float64) *result.Summary {
		s := result.NewSummary()
		s.Schedule, s.Elapsed = "ramp", 40*time.Second
		for i := range 4000 {
			due := time.Duration(i) * 10 * time.Millisecond
			s.Add(result.Record{Intended: due, Sent: due, Done: due + time.Duration(factor*float64(10+i/40)*float64(time.Millisecond))})
		}
		return s
	}
	a, b := ramp(1), ramp(1.03)
	if row := find(t, compare.Runs(a, b), "p50"); row.Word != compare.Slower || row.Low < 1.02 || row.High > 1.04 {
		t.Errorf("3 %% slower: %+v", row)
	}
	b.Schedule = "another ramp"
	c := compare.Runs(a, b)
	if row := find(t, c, "p50"); row.Word != compare.Noise {
		t.Errorf("schedules that differ: %+v", row)
	}
	if diff := cmp.Diff([]compare.Difference{{Name: "schedule", A: "ramp", B: "another ramp"}}, c.Different); diff != "" {
		t.Errorf("different, -want +got:\n%s", diff)
	}
}

// TestFailures checks when more failures are more than chance.
func TestFailures(t *testing.T) {
	t.Parallel()
	with := func(n, failed int) *result.Summary {
		s := result.NewSummary()
		for i := range n {
			r := result.Record{Intended: time.Duration(i) * 100 * time.Millisecond, Done: time.Duration(i)*100*time.Millisecond + 1e6}
			if i < failed {
				r.Error = "full"
			}
			s.Add(r)
		}
		s.Elapsed = time.Minute
		return s
	}
	for name, c := range map[string]struct {
		a, b int // of 500
		want compare.Word
	}{
		"none": {0, 0, compare.Unjudged}, "the same": {7, 7, compare.Unjudged}, "one more": {3, 4, compare.Noise},
		"many": {0, 20, compare.More}, "fewer": {50, 2, compare.Fewer}, "all": {0, 500, compare.More},
	} {
		if row := find(t, compare.Runs(with(500, c.a), with(500, c.b)), "failed"); row.Word != c.want || row.A != float64(c.a)/5 || row.B != float64(c.b)/5 {
			t.Errorf("%s: %+v, want %q", name, row, c.want)
		}
	}
	c := compare.Runs(result.NewSummary(), result.NewSummary())
	if len(c.Rows) != 2 || c.Rows[0].Word != compare.Short || !math.IsNaN(c.Rows[0].Ratio) {
		t.Errorf("two empty runs: %+v", c.Rows)
	}
	if row := find(t, compare.Runs(with(50, 0), with(50, 0)), "p50"); row.Word != compare.Short {
		t.Errorf("runs of five seconds: %+v", row)
	}
}

// TestComputedIsCompared checks that answers from a cache have figures of their own, and do not make a server faster.
func TestComputedIsCompared(t *testing.T) {
	t.Parallel()
	with := func(cached int) *result.Summary { // of ten
		s := result.NewSummary()
		s.Elapsed = time.Minute
		for i := range 1200 {
			due := time.Duration(i) * 50 * time.Millisecond
			r := result.Record{Intended: due, Sent: due, Done: due + 40*time.Millisecond, Model: "m fp32"}
			if i%10 < cached {
				r.FromCache, r.Done = true, due+time.Millisecond
			}
			s.Add(r)
		}
		return s
	}
	b := with(6)
	b.Settings, b.Models = []result.Setting{{Name: "unique", Value: "no"}, {Name: "conditions", Value: "p99<1s"}}, map[string]int{"m int8": 1, "n": 2}
	c := compare.Runs(with(0), b)
	if row := find(t, c, "p50"); row.Word != compare.Faster || row.Ratio > 0.1 {
		t.Errorf("p50: %+v", row)
	}
	if row := find(t, c, "computed p50"); row.Word != compare.Noise || row.Ratio != 1 || row.Low != 1 || row.High != 1 {
		t.Errorf("computed p50: %+v", row)
	}
	if row := find(t, c, "from the cache"); row.A != 0 || row.B != 60 {
		t.Errorf("share: %+v", row)
	}
	want := []compare.Difference{{Name: "model", A: "m fp32", B: "m int8, n"}, {Name: "unique", B: "no"}}
	if diff := cmp.Diff(want, c.Different); diff != "" {
		t.Errorf("different, -want +got:\n%s", diff)
	}
}
