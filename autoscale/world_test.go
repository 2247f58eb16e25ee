package autoscale

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// world is a deterministic service, in steps of a second: images arrive at a rate and are answered as fast
// as the replicas that serve can. Tests of policies are stories in it.
type world struct {
	policy  Policy
	now     time.Time
	rate    float64       // images/s
	mu      float64       // images/s and worker
	delay   time.Duration // of a start
	workers int           // of each replica; 0 means 1
	bound   int           // of the queue
	blind   bool          // no new figures reach the policy
	noCPU   bool          // CPU loads are unknown

	queue    float64
	s        Snapshot // as it is; shown is what the policy sees
	shown    Snapshot
	made     int
	decision Decision
	scales   []int // replicas asked for, second by second
}

func newWorld(p Policy, replicas int, rate, mu float64) *world {
	w := &world{policy: p, now: time.Unix(1_000_000, 0).UTC(), rate: rate, mu: mu, delay: 3 * time.Second, bound: 500}
	w.s.QueueCapacity = w.bound
	w.set(replicas)
	for i := range w.s.Replicas {
		r := &w.s.Replicas[i]
		r.Created, r.ReadyAt, r.Ready = w.now.Add(-time.Hour), w.now.Add(-time.Hour+w.delay), true
	}
	return w
}

// set makes the replicas n: new ones start, the newest leave.
func (w *world) set(n int) {
	for len(w.s.Replicas) < n {
		w.made++
		w.s.Replicas = append(w.s.Replicas, Replica{Name: fmt.Sprint("r", w.made), Created: w.now})
	}
	w.s.Replicas, w.s.Desired = w.s.Replicas[:n], n
}

// run lets seconds pass.
func (w *world) run(seconds int) {
	for range seconds {
		w.now = w.now.Add(time.Second)
		for i := range w.s.Replicas {
			if r := &w.s.Replicas[i]; !r.Ready && w.now.Sub(r.Created) >= w.delay {
				r.Ready, r.ReadyAt = true, w.now
			}
		}
		capacity := w.mu * float64(w.s.Ready()*max(1, w.workers))
		done := min(w.queue+w.rate, capacity)
		w.queue += w.rate - done
		refused := max(0, w.queue-float64(w.bound))
		w.queue -= refused
		w.s.Uptime += time.Second
		w.s.Offered += int64(w.rate)
		w.s.Refused += int64(refused)
		w.s.Completed += int64(done)
		busy := 0.0 // workers
		if done > 0 {
			busy = done / w.mu
		}
		w.s.Service += time.Duration(busy * float64(time.Second))
		w.s.Queue, w.s.InFlight, w.s.At = int(w.queue), int(busy+0.5), w.now
		for i := range w.s.Replicas {
			r := &w.s.Replicas[i]
			r.Workers = w.workers
			if r.CPU = nil; r.Ready && !w.noCPU {
				use := done / max(1, capacity)
				r.CPU, r.CPUWindow = &use, Window{End: w.now, Length: 15 * time.Second}
			}
		}
		if !w.blind {
			w.shown = w.s
		}
		w.shown.Desired, w.shown.Replicas = w.s.Desired, w.s.Replicas
		w.decision = w.policy.Decide(w.now, w.shown)
		w.set(w.decision.Replicas)
		w.scales = append(w.scales, w.decision.Replicas)
	}
}

// expect runs for some seconds and checks that n replicas are asked for at the end.
func (w *world) expect(t *testing.T, seconds, n int) {
	t.Helper()
	w.run(seconds)
	if w.s.Desired != n {
		t.Errorf("after %d s at %v images/s: %d replicas, want %d; reasons %v", seconds, w.rate, w.s.Desired, n, w.decision.Reasons)
	}
}

// expectRule checks that the last decision came from a rule.
func (w *world) expectRule(t *testing.T, rule Rule) {
	t.Helper()
	if got := w.decision.Because().Rule; got != rule {
		t.Errorf("decided by %q, want %q; reasons %v", got, rule, w.decision.Reasons)
	}
}

// TestStateSurvives checks for every policy that one that restored another's state decides as the other
// would.
func TestStateSurvives(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func() Policy{
		"deadline":     func() Policy { return NewDeadline(DeadlineConfig{}) },
		"threshold":    func() Policy { return NewThreshold(ThresholdConfig{}) },
		"hpa-cpu":      func() Policy { return NewHPACPU(HPACPUConfig{}) },
		"hpa-external": func() Policy { return NewHPAExternal(HPAExternalConfig{Metric: MetricRate, AverageValue: 14}) },
		"kpa":          func() Policy { return NewKPA(KPAConfig{}) },
		"static":       func() Policy { return &Static{Replicas: 5} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			life := func(restart bool) []int {
				w := newWorld(make(), 5, 60, 20)
				for _, rate := range []float64{60, 150, 300, 90, 200, 40} {
					w.rate = rate
					w.run(37)
					if !restart {
						continue
					}
					state, err := w.policy.State()
					if err != nil {
						t.Fatal(err)
					}
					w.policy = make()
					if err := w.policy.Restore(state); err != nil {
						t.Fatal(err)
					}
				}
				return w.scales
			}
			if diff := cmp.Diff(life(false), life(true)); diff != "" {
				t.Errorf("with restarts it decides otherwise (-without +with):\n%s", diff)
			}
			if err := make().Restore([]byte("{")); err == nil {
				t.Error("Restore of a broken state: no error")
			}
		})
	}
}
