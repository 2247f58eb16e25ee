package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

func poisson(rate float64, d time.Duration) schedule.Schedule {
	s := schedule.Constant(rate, d)
	s.Poisson = true
	return s
}

// exponential is a thousand equally likely values of the exponential distribution with mean 1.
func exponential() []float32 {
	values, sum := make([]float32, 1000), 0.0
	for i := range values {
		x := -math.Log(1 - (float64(i)+0.5)/1000)
		values[i], sum = float32(x), sum+x
	}
	for i := range values {
		values[i] *= float32(1000 / sum)
	}
	return values
}

// script is a policy that asks for what a function returns.
type script struct {
	autoscale.Static
	wanted func(seconds int) int
	seen   []autoscale.Snapshot
}

func (p *script) Decide(now time.Time, s autoscale.Snapshot) autoscale.Decision {
	s.Replicas = slices.Clone(s.Replicas)
	p.seen = append(p.seen, s)
	return autoscale.Decision{Replicas: p.wanted(int(now.Sub(epoch) / time.Second))}
}

func constant(n int) *script { return &script{wanted: func(int) int { return n }} }

// TestQueueIsErlangs: with exponential service and a fixed number of replicas the simulation is M/M/c, for
// which the share that waits and the times are known.
func TestQueueIsErlangs(t *testing.T) {
	t.Parallel()
	const c, lambda, mu = 5, 80., 20.
	r := Run(Config{Load: poisson(lambda, 4*time.Hour), Policy: constant(c), Start: c, Queue: 100_000, Warmup: -1,
		Service: Service{Relative: exponential()}, SLO: 200 * time.Millisecond})
	// An answer takes longer than t when the wait W (0, or exponential with c mu - lambda = d) and the service
	// together do: the convolution of the two.
	const d, slo = c*mu - lambda, 0.2
	wait := queueing.ErlangC(c, lambda/mu)
	want := (1-wait)*math.Exp(-mu*slo) + wait*(math.Exp(-mu*slo)+d*(math.Exp(-d*slo)-math.Exp(-mu*slo))/(mu-d+1e-9))
	if d == mu {
		want = (1-wait)*math.Exp(-mu*slo) + wait*(1+mu*slo)*math.Exp(-mu*slo)
	}
	if got := r.Violations(); math.Abs(got-want) > 0.006 {
		t.Errorf("%.4f of answers take longer than %v s, want %.4f", got, slo, want)
	}
	if n := float64(r.Offered); math.Abs(n-lambda*4*3600) > 5*math.Sqrt(n) {
		t.Errorf("%v images, want %v", n, lambda*4*3600)
	}
	if math.Abs(r.ReplicaSeconds-c*4*3600) > 1 {
		t.Errorf("%v replica-seconds, want %v", r.ReplicaSeconds, c*4*3600)
	}
	if math.Abs(r.Cost()-c/(lambda/mu)) > 0.01 {
		t.Errorf("cost %v, want %v", r.Cost(), c/(lambda/mu))
	}
}

// TestSameSeedSameRun checks also that all policies get the same arrivals.
func TestSameSeedSameRun(t *testing.T) {
	t.Parallel()
	run := func(c Contestant, seed uint64) Result {
		cfg := Config{Load: poisson(200, 5*time.Minute), Seed: seed, Limits: TraceLimits}.withDefaults()
		cfg.Policy = c.Make(cfg)
		return Run(cfg)
	}
	who := Contestants()
	for _, c := range who {
		if diff := cmp.Diff(run(c, 1), run(c, 1), cmp.AllowUnexported(Histogram{})); diff != "" {
			t.Errorf("%s: two runs with one seed differ:\n%s", c.Name, diff)
		}
	}
	if a, b := run(who[0], 1), run(who[0], 2); a.Offered == b.Offered {
		t.Errorf("two seeds gave the same %d images", a.Offered)
	}
	if a, b := run(who[0], 1), run(who[1], 1); a.Offered != b.Offered {
		t.Errorf("%d and %d images for two policies with one seed", a.Offered, b.Offered)
	}
}

// TestReplicasStartAndLeave: replicas cost from the moment they are requested, serve after their delay,
// end immediately if they are starting or idle, and otherwise after their last image.
func TestReplicasStartAndLeave(t *testing.T) {
	t.Parallel()
	p := &script{wanted: func(s int) int {
		switch {
		case s < 10:
			return 2
		case s < 20:
			return 6
		case s < 22:
			return 9
		}
		return 1
	}}
	r := Run(Config{Load: poisson(0.001, 30*time.Second), Policy: p, Start: 2, Warmup: -1, Delay: Fixed(5 * time.Second)})
	if want := 2*10 + 6*10. + 9*2 + 1*8; math.Abs(r.ReplicaSeconds-want) > 0.01 {
		t.Errorf("%v replica-seconds, want %v", r.ReplicaSeconds, want)
	}
	if r.Created != 7 || r.Changes != 3 || r.Reversals != 1 {
		t.Errorf("%d created, %d changes, %d reversals, want 7, 3, 1", r.Created, r.Changes, r.Reversals)
	}
	for _, c := range []struct{ second, ready, starting int }{{9, 2, 0}, {11, 2, 4}, {15, 6, 0}, {21, 6, 3}, {23, 1, 0}} {
		if s := p.seen[c.second-1]; s.Ready() != c.ready || s.Starting() != c.starting {
			t.Errorf("second %d: %d ready, %d starting, want %d, %d", c.second, s.Ready(), s.Starting(), c.ready, c.starting)
		}
	}
}

// TestBusyReplicasFinish checks that nothing is lost when replicas are removed under load.
func TestBusyReplicasFinish(t *testing.T) {
	t.Parallel()
	p := &script{wanted: func(s int) int { return 1 + 9*(s%2) }}
	load := poisson(50, 5*time.Minute)
	r := Run(Config{Load: load, Policy: p, Start: 10, Warmup: -1, Queue: 1 << 20, Delay: Fixed(time.Millisecond)})
	arrivals := 0
	for range load.Arrivals(0) {
		arrivals++
	}
	if answered := r.Latency.n; answered < arrivals-50 || r.Refused > 0 {
		t.Errorf("%d of %d answered, %d refused", answered, arrivals, r.Refused)
	}
}

// TestQueueIsBounded checks that images that find the queue full are refused and counted.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	p := constant(1)
	r := Run(Config{Load: poisson(100, time.Minute), Policy: p, Start: 1, Warmup: -1, Queue: 30})
	if refused := float64(r.Refused) / float64(r.Offered); math.Abs(refused-0.8) > 0.02 {
		t.Errorf("%.3f refused, want 0.8", refused)
	}
	if p.seen[59].Queue != 30 || p.seen[59].Refused == 0 {
		t.Errorf("the policy sees a queue of %d and %d refused", p.seen[59].Queue, p.seen[59].Refused)
	}
	shed := Run(Config{Load: poisson(100, time.Minute), Policy: constant(1), Start: 1, Warmup: -1, Shed: true})
	if shed.Late > shed.Offered/50 || shed.Refused < shed.Offered/2 {
		t.Errorf("shedding: %d late and %d refused of %d", shed.Late, shed.Refused, shed.Offered)
	}
}

// TestPolicySeesCPU checks that a busy replica's load is 1 after a full window.
func TestPolicySeesCPU(t *testing.T) {
	t.Parallel()
	p := &script{wanted: func(s int) int { return 1 + min(1, s/20) }}
	Run(Config{Load: poisson(60, time.Minute), Policy: p, Start: 1, Warmup: -1, Delay: Fixed(time.Second)})
	if cpu := p.seen[29].Replicas[0].CPU; cpu == nil || *cpu < 0.99 {
		t.Errorf("CPU of a replica with three times its load: %v, want 1", cpu)
	}
	if r := p.seen[31].Replicas[1]; r.CPU != nil {
		t.Errorf("CPU of a replica 12 s old: %v, want unknown", *r.CPU)
	}
	if r := p.seen[53].Replicas[1]; r.CPU != nil {
		t.Errorf("CPU of a replica measured 9 s ago: %v, want unknown", *r.CPU)
	}
	if r := p.seen[55].Replicas[1]; r.CPU == nil || *r.CPU < 0.99 || !r.CPUWindow.End.Equal(at(45*second)) {
		t.Errorf("CPU of a busy replica a window and 10 s later: %v until %s, want 1 until second 45", r.CPU, r.CPUWindow.End)
	}
}

// TestBlindPolicy checks that a blind policy sees old figures, but the present replicas.
func TestBlindPolicy(t *testing.T) {
	t.Parallel()
	p := constant(5)
	Run(Config{Load: poisson(60, time.Minute), Policy: p, Warmup: -1, BlindFrom: 10 * time.Second, BlindFor: 20 * time.Second})
	if a, b := p.seen[9], p.seen[28]; !cmp.Equal(a.Counters, b.Counters, cmpopts.EquateComparable()) && a.At != b.At {
		t.Errorf("figures changed while blind: %+v, %+v", a.Counters, b.Counters)
	}
	if age := p.seen[28].Age(at(29 * second)); age < 19*time.Second {
		t.Errorf("figures are %v old, want 19 s or more", age)
	}
}

// TestSlowdown checks that half the speed gives half the answers.
func TestSlowdown(t *testing.T) {
	t.Parallel()
	p := constant(1)
	Run(Config{Load: poisson(60, 2*time.Minute), Policy: p, Start: 1, Warmup: -1, Slowdown: func(t time.Duration) float64 {
		if t > time.Minute {
			return 2
		}
		return 1
	}})
	first := p.seen[59].Completed
	if second := p.seen[118].Completed - first; math.Abs(float64(second)/float64(first)-0.5) > 0.03 {
		t.Errorf("%d answers in the first minute, %d in the second, want half", first, second)
	}
}

func TestServiceTimes(t *testing.T) {
	t.Parallel()
	relative, err := readService(serviceData)
	if err != nil || len(relative) != 1000 {
		t.Fatalf("service.csv: %d times, %v", len(relative), err)
	}
	sum, squares := 0.0, 0.0
	for _, x := range relative {
		sum, squares = sum+float64(x), squares+float64(x)*float64(x)
	}
	mean := sum / 1000
	cv := math.Sqrt(squares/1000 - mean*mean)
	if math.Abs(mean-1) > 1e-4 || cv < 0.05 || cv > 0.25 {
		t.Errorf("mean %v, coefficient of variation %v", mean, cv)
	}
	for _, bad := range []string{"", "# nothing\n", "12\nx\n", "-1\n", "NaN\n"} {
		if _, err := readService(bad); err == nil {
			t.Errorf("readService(%q): no error", bad)
		}
	}
}

func TestDelays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	sum := time.Duration(0)
	for range 10_000 {
		d := Uniform(time.Second, 5*time.Second)(r, 1)
		if d < time.Second || d > 5*time.Second {
			t.Fatalf("uniform delay %v", d)
		}
		sum += d
	}
	if mean := sum / 10_000; (mean - 3*time.Second).Abs() > 50*time.Millisecond {
		t.Errorf("mean of uniform delays %v, want 3s", mean)
	}
	late := 0
	for range 10_000 {
		if WithStragglers(Uniform(time.Second, 5*time.Second), 20, 10*time.Second)(r, 1) > 10*time.Second {
			late++
		}
	}
	if late < 420 || late > 580 {
		t.Errorf("%d of 10000 straggle, want about 500", late)
	}
	observed := Observed([]Start{{1, time.Second}, {1, 2 * time.Second}, {5, 6 * time.Second}})
	for together, most := range map[int]time.Duration{1: 2 * time.Second, 2: 2 * time.Second, 4: 6 * time.Second, 9: 6 * time.Second} {
		seen := map[time.Duration]bool{}
		for range 100 {
			seen[observed(r, together)] = true
		}
		if want := 1 + int(2*time.Second/most); !seen[most] || len(seen) != want {
			t.Errorf("%d that start together: delays %v, want %d different ones up to %v", together, seen, want, most)
		}
	}
}

// TestHeap compares the heap with sorting.
func TestHeap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	var h heap
	var want []nanos
	for i := range 500 {
		at := r.Int64N(1000)
		h.push(at, int32(i))
		want = append(want, at)
		if i%3 == 0 {
			slices.Sort(want)
			if h.next() != want[0] {
				t.Fatalf("next = %d, want %d", h.next(), want[0])
			}
			h.pop()
			want = want[1:]
		}
	}
	slices.Sort(want)
	for _, at := range want {
		if h.next() != at {
			t.Fatalf("next = %d, want %d", h.next(), at)
		}
		h.pop()
	}
	if h.next() != never {
		t.Error("an empty heap has something next")
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("quantile of nothing is not 0")
	}
	for i := range 1000 {
		h.add(nanos(i+1) * 1e6)
	}
	for q, want := range map[float64]float64{0.001: 0.001, 0.5: 0.5, 0.99: 0.99, 1: 1} {
		if got := h.Quantile(q).Seconds(); math.Abs(got/want-1) > 0.02 {
			t.Errorf("Quantile(%v) = %v s, want %v s", q, got, want)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	images := 0
	for b.Loop() {
		cfg := Config{Load: poisson(300, 10*time.Minute), Limits: TraceLimits}.withDefaults()
		cfg.Policy = Contestants()[0].Make(cfg)
		images += Run(cfg).Offered
	}
	b.ReportMetric(float64(images)/b.Elapsed().Seconds()/1e6, "Mimages/s")
}

// TestHeavyTailed checks the mean and the share of slow images, and the example.
func TestHeavyTailed(t *testing.T) {
	t.Parallel()
	relative := HeavyTailed(Measured(), 0.01, 4, 9)
	sum, usual, slow, slower := 0.0, float64(slices.Max(Measured())), 0, 0
	scale := float64(relative[len(relative)-1]) / usual
	for _, r := range relative {
		sum += float64(r)
		if x := float64(r) / scale; x > usual+1e-3 {
			slow++
			if x < 4 || x > 9.01 {
				t.Errorf("a slow image takes %v times as long, want 4 to 9", x)
			}
			if x > 5.2 {
				slower++
			}
		}
	}
	if n := len(relative); math.Abs(sum/float64(n)-1) > 1e-3 || slow != n/100 || slower < slow*45/100 || slower > slow*55/100 {
		t.Errorf("of %d images %d are slow and %d of these take more than 5.2 times as long, mean %v; want 1 in 100, half of these, and 1", n, slow, slower, sum/float64(n))
	}
}

// TestFromNone: a policy that may remove all replicas costs less on a load with pauses than one that keeps one, and is
// late with what comes after them.
func TestFromNone(t *testing.T) {
	t.Parallel()
	load := join(poisson(5, time.Minute), poisson(0, 10*time.Minute), poisson(5, time.Minute))
	load.Poisson = true
	run := func(limits autoscale.Limits) Result {
		return Run(Config{Load: load, Limits: limits, Seed: 1, Policy: autoscale.NewDeadline(autoscale.DeadlineConfig{Limits: limits})})
	}
	none, one := run(autoscale.Limits{Min: autoscale.ToZero, Max: 5}), run(autoscale.Limits{Min: 1, Max: 5})
	if one.Late > 0 || one.ReplicaSeconds < 700 {
		t.Errorf("with a replica: %d late, %.0f replica-seconds; want none, and 720", one.Late, one.ReplicaSeconds)
	}
	if none.Late == 0 || none.Late > 60 || none.ReplicaSeconds > 450 {
		t.Errorf("from none: %d late, %.0f replica-seconds; want some of the first, and at most 450", none.Late, none.ReplicaSeconds)
	}
}
