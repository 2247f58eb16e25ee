package search_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/result/resulttest"
	"github.com/resnet18cloud/resnet18cloud/load/search"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
	"github.com/resnet18cloud/resnet18cloud/load/target"
)

// queue is a target that classifies one image at a time and takes a fixed time for each. It has no network, whose cost
// would add up: a search sends tens of thousands of requests.
type queue struct {
	work time.Duration
	slot chan struct{}
}

func newQueue(work time.Duration) target.Target { return queue{work, make(chan struct{}, 1)} }

func (queue) String() string { return "a queue" }

func (queue) Check(context.Context) error { return nil }

func (q queue) Send(ctx context.Context, _ resnet18cloud.Image, _ func()) (target.Answer, error) {
	select {
	case q.slot <- struct{}{}:
	case <-ctx.Done():
		return target.Answer{}, ctx.Err()
	}
	time.Sleep(q.work)
	<-q.slot
	return target.Answer{Accepted: time.Now()}, nil
}

// stalling is a target that answers immediately, but not during a stall.
type stalling struct{ from, until time.Time }

func (stalling) String() string { return "a server that stalls" }

func (stalling) Check(context.Context) error { return nil }

func (s stalling) Send(context.Context, resnet18cloud.Image, func()) (target.Answer, error) {
	if now := time.Now(); now.After(s.from) && now.Before(s.until) {
		time.Sleep(s.until.Sub(now))
	}
	return target.Answer{Accepted: time.Now()}, nil
}

// noBytes replaces the files of images, which these targets do not read.
func noBytes(string) ([]byte, func(), error) { return nil, func() {}, nil }

func withImages(t target.Target) load.Config {
	return load.Config{Target: t, Images: []string{"a.jpg"}, Open: noBytes}
}

func conditions(t *testing.T, texts ...string) []slo.Condition {
	t.Helper()
	var all []slo.Condition
	for _, text := range texts {
		c, err := slo.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// TestRun finds the rate of a server that is an M/D/1 queue of 10 ms: 100 images/s at most. Its mean wait is
// rho/(2(1-rho)) * 10 ms (Pollaczek and Khinchin), so that the mean time in it stays under 30 ms up to
// rho = 0.8, which is 80/s.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := withImages(newQueue(10 * time.Millisecond))
		config.Timeout = 5 * time.Minute
		found, err := search.Run(t.Context(), search.Config{Load: config, SLO: conditions(t, "mean<30ms", "errors<1%"), Duration: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if found.Rate < 74 || found.Rate > 86 || found.Open {
			t.Errorf("found %.1f/s, want about 80", found.Rate)
		}
		if c := found.Capacity(); c < 95 || c > 101 {
			t.Errorf("capacity %.1f/s, want 100", c)
		}
		last := found.Trials[len(found.Trials)-1]
		if !last.Holds || last.Rate != found.Rate {
			t.Errorf("the last trial is not the confirmation: %.1f/s, %v", last.Rate, last.Verdicts)
		}
	})
}

func TestRunEnds(t *testing.T) {
	for name, c := range map[string]struct {
		config search.Config
		slo    string
		open   bool
		err    error
	}{
		"all hold":  {search.Config{Max: 40, Duration: time.Second}, "p50<1h", true, nil},
		"none hold": {search.Config{Duration: time.Second}, "p50<1us", false, search.ErrNoRate},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.config.Load = withImages(newQueue(time.Millisecond))
				c.config.SLO = conditions(t, c.slo)
				var started, ended []float64
				c.config.TrialStarted = func(rate float64, _ time.Duration) { started = append(started, rate) }
				c.config.TrialEnded = func(trial search.Trial) { ended = append(ended, trial.Rate) }
				found, err := search.Run(t.Context(), c.config)
				if !errors.Is(err, c.err) || found.Open != c.open || len(ended) != len(found.Trials) || !slices.Equal(started, ended) {
					t.Errorf("%v, open %v, started %v, ended %v", err, found.Open, started, ended)
				}
				if c.open && found.Rate != 40 {
					t.Errorf("found %v, want all of 40", found.Rate)
				}
			})
		})
	}
}

// TestRunForgivesOneDisturbance: the server stalls once, in the first trial, and is fast otherwise.
func TestRunForgivesOneDisturbance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		server := stalling{start.Add(5 * time.Second), start.Add(6 * time.Second)}
		found, err := search.Run(t.Context(), search.Config{
			Load: withImages(server), SLO: conditions(t, "p95<100ms"), From: 40, Max: 40, Duration: 10 * time.Second,
		})
		if err != nil || found.Rate != 40 || len(found.Trials) != 2 || found.Trials[0].Holds {
			t.Errorf("%v, found %v in %d trials", err, found.Rate, len(found.Trials))
		}
	})
}

// asJSON encodes everything that a summary holds.
func asJSON(t *testing.T, s *result.Summary) []byte {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFileKeepsTheResult: a file restores what a capacity plan needs.
func TestFileKeepsTheResult(t *testing.T) {
	t.Parallel()
	summary, _ := resulttest.Run(resulttest.Noon, 30) // 9 of each ten answered, in 3 s
	replica := func(at time.Duration, cpu, memory float64) result.Sample {
		return result.Sample{At: at, Metrics: map[string]float64{"resnet18_replica_slots": 1, "process_cpu_seconds_total": cpu, "process_resident_memory_bytes": memory}}
	}
	summary.Server = []result.Sample{{}, replica(time.Second, 10, 100), replica(3*time.Second, 10.38, 150)}
	found := &search.Result{Rate: 10}
	trial := search.Trial{Rate: 10, Holds: true, Summary: summary}
	for _, c := range conditions(t, "errors<20%", "p90<2s") {
		trial.Verdicts = append(trial.Verdicts, c.Check(summary))
	}
	found.Trials = []search.Trial{trial}
	path := filepath.Join(t.TempDir(), "search.json")
	if err := found.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := search.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rate != 10 || got.Capacity() != found.Capacity() || len(got.Trials) != 1 || !bytes.Equal(asJSON(t, got.Best()), asJSON(t, summary)) {
		t.Errorf("read back %+v", got)
	}
	if limit, share, ok := got.Limit(); !ok || limit != 2*time.Second || math.Abs(share-0.1) > 1e-9 {
		t.Errorf("Limit = %s, %v, %v", limit, share, ok)
	}
	// In seconds 1 and 2, 10 and 9 were answered, for 0.38 s.
	if cpu, memory, ok := got.ReplicaCost(); !ok || math.Abs(cpu-0.02) > 1e-9 || memory != 150 {
		t.Errorf("ReplicaCost = %v, %v, %v; want 0.02, 150", cpu, memory, ok)
	}
	if err := summary.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if _, err := search.ReadFile(path); err == nil || !strings.Contains(err.Error(), "--search --json") {
		t.Errorf("a result instead of a search: %v", err)
	}
}
