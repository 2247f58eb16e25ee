//go:build chaos

package chaos

import (
	"context"
	"errors"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// TestNothingIsLost sends images through a system while each kind of fault occurs at least once, one after the other.
// Every accepted image must end exactly once, with the label that its bytes demand or with a reason.
func TestNothingIsLost(t *testing.T) {
	for name, outside := range map[string]bool{"NATS outside": true, "NATS inside": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, outside, (*system).torment)
		})
	}
}

// TestRollingRestart does the same as an update, under load, several times: each replica and each dispatcher in turn
// is stopped, finishes, and is started again. In this test no request may fail.
func TestRollingRestart(t *testing.T) {
	for name, outside := range map[string]bool{"NATS outside": true, "NATS inside": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcomes := run(t, outside, (*system).roll)
			delete(outcomes, "completed")
			if len(outcomes) > 0 {
				t.Errorf("ended otherwise than completed: %v", outcomes)
			}
		})
	}
}

// run sends at least CHAOS_REQUESTS images while disturb runs, and judges the results. It returns the number of
// requests by outcome.
func run(t *testing.T, outside bool, disturb func(*system, context.Context, func() bool)) map[string]int {
	n := harness.Setting(t, "CHAOS_REQUESTS", 1000)
	s := newSystem(t, outside)
	t.Logf("CHAOS_REQUESTS=%d CHAOS_SEED=%d", n, s.seed)
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	s.load = &harness.Load{URLs: s.urls, Seed: s.seed, Name: "chaos", PerSecond: min(max(n/20, 20), 100), Retry: true, Connections: 100}
	unwatch := s.watch(ctx)
	start := time.Now()
	s.load.Start(ctx)
	disturb(s, ctx, func() bool { return s.load.Sent() < n && ctx.Err() == nil })
	s.load.AwaitSent(ctx, n)
	s.load.Stop()
	t.Logf("%d images in %s", s.load.Sent(), time.Since(start).Round(time.Millisecond))
	unwatch()
	s.awaitReady(ctx)
	s.load.Audit(ctx, endLimit)
	return s.judge(ctx)
}

// roll restarts every replica and every dispatcher in turn, each after the previous one serves again.
func (s *system) roll(ctx context.Context, more func() bool) {
	restarted := 0
	defer func() { s.t.Logf("%d restarts", restarted) }()
	for {
		for i, p := range slices.Concat(s.replicas, s.dispatchers) {
			if restarted > 0 && !more() {
				return
			}
			if err := p.Down(syscall.SIGTERM); err != nil {
				s.t.Errorf("%s told to stop: %v", p.Name(), err)
			}
			s.up(p)
			restarted++
			var url string
			if i < len(s.replicas) {
				url = s.proxies[i].URL()
			} else {
				url = s.urls[i-len(s.replicas)]
			}
			if err := harness.AwaitOK(ctx, time.Minute, url+"/health/ready"); err != nil {
				s.t.Error(err)
				return
			}
		}
	}
}

// fault is one kind of fault.
type fault struct {
	name string
	// do causes the fault, keeps it for a time, and repairs it.
	do func(ctx context.Context, s *system)
	// harmless means that dispatchers must not reject an image because of it.
	harmless bool
	// settle is how long rejections may occur after dispatchers have first served again. Zero means 1 s.
	settle time.Duration
}

// torment causes every fault in turn, in an order determined by the seed, and repeats while more returns true. The
// next fault starts when the system serves again.
func (s *system) torment(ctx context.Context, more func() bool) {
	faults := s.possible()
	for round := 0; round == 0 || more(); round++ {
		s.rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		for i, f := range faults {
			if round > 0 && !more() || ctx.Err() != nil {
				return
			}
			if i == 0 {
				s.t.Logf("round %d: %s", round, names(faults))
			}
			pause.For(ctx, time.Duration(200+s.rng.IntN(1300))*time.Millisecond)
			s.faults = append(s.faults, harness.Fault{Name: f.name, Start: time.Now()})
			last := &s.faults[len(s.faults)-1]
			f.do(ctx, s)
			last.End = time.Now()
			s.awaitRecovery(ctx, *last, max(f.settle, time.Second))
		}
	}
}

// awaitRecovery waits until everything serves again. How long this took is judged from the clients' view.
func (s *system) awaitRecovery(ctx context.Context, f harness.Fault, settle time.Duration) {
	s.t.Helper()
	err := harness.Await(ctx, 30*time.Second, func(context.Context) error {
		for _, p := range slices.Concat(s.dispatchers, s.replicas) {
			s.restart(p)
		}
		if !s.load.Served(f.End) {
			return errors.New("not every dispatcher serves")
		}
		return nil
	})
	if err != nil { // continue, so that the next fault is tested too
		s.t.Errorf("%s: %v; dispatchers are restarted by hand", f.Name, err)
		for _, p := range s.dispatchers {
			_ = p.Down(syscall.SIGKILL) // its exit status reports the kill
			s.up(p)
		}
		s.awaitReady(ctx)
	}
	pause.For(ctx, settle)
}

func names(faults []fault) []string {
	var all []string
	for _, f := range faults {
		all = append(all, f.name)
	}
	return all
}

// sortedKeys returns the keys for tables.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
