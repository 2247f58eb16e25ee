package load_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/load"
)

// oneAtATime is a target that works for a time on each image and does one after the other: a queue, without the
// cost of a network, since a search asks tens of thousands of times.
type oneAtATime struct {
	work time.Duration
	slot chan struct{}
}

func newOneAtATime(work time.Duration) load.Target { return oneAtATime{work, make(chan struct{}, 1)} }

func (oneAtATime) String() string { return "a queue" }

func (oneAtATime) Check(context.Context) error { return nil }

func (o oneAtATime) Send(ctx context.Context, _ resnet18cloud.Image, clock func() time.Duration, r *load.Record) error {
	select {
	case o.slot <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	time.Sleep(o.work)
	<-o.slot
	r.Accepted = clock()
	return nil
}

func conditions(t *testing.T, texts ...string) []load.Condition {
	t.Helper()
	var all []load.Condition
	for _, text := range texts {
		c, err := load.ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// TestSearch finds the rate of a server that is an M/D/1 queue of 10 ms: 100 images/s at most. Its mean wait is
// rho/(2(1-rho)) * 10 ms (Pollaczek and Khinchin), so that the mean time in it stays under 30 ms up to
// rho = 0.8, which is 80/s.
func TestSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found, err := load.Search{
			Config: load.Config{Target: newOneAtATime(10 * time.Millisecond), Images: picture(t, "a.jpg"), Timeout: 5 * time.Minute},
			SLO:    conditions(t, "mean<30ms", "errors<1%"), Duration: 30 * time.Second,
		}.Run(t.Context())
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

func TestSearchEnds(t *testing.T) {
	for name, c := range map[string]struct {
		search load.Search
		slo    string
		open   bool
		err    error
	}{
		"all hold":  {load.Search{Most: 40, Duration: time.Second}, "p50<1h", true, nil},
		"none hold": {load.Search{Duration: time.Second}, "p50<1us", false, load.ErrNoRate},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.search.Config = load.Config{Target: newOneAtATime(time.Millisecond), Images: picture(t, "a.jpg")}
				c.search.SLO = conditions(t, c.slo)
				var mu sync.Mutex
				var tried []float64
				c.search.Tried = func(trial load.Trial) { mu.Lock(); tried = append(tried, trial.Rate); mu.Unlock() }
				found, err := c.search.Run(t.Context())
				if !errors.Is(err, c.err) || found.Open != c.open || len(tried) != len(found.Trials) {
					t.Errorf("%v, open %v, tried %v", err, found.Open, tried)
				}
				if c.open && found.Rate != 40 {
					t.Errorf("found %v, want all of 40", found.Rate)
				}
			})
		})
	}
}

// TestSearchForgivesOneDisturbance: the server stalls once, in the first trial, and is quick otherwise.
func TestSearchForgivesOneDisturbance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		api := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if at := time.Since(start); r.URL.Path == "/predict" && at > 5*time.Second && at < 6*time.Second {
				time.Sleep(6*time.Second - at)
			}
			_, _ = w.Write([]byte(goldfinch))
		})
		found, err := load.Search{
			Config: load.Config{Target: load.Sync{Client: api}, Images: picture(t, "a.jpg")},
			SLO:    conditions(t, "p95<100ms"), From: 40, Most: 40, Duration: 10 * time.Second,
		}.Run(t.Context())
		if err != nil || found.Rate != 40 || len(found.Trials) != 2 || found.Trials[0].Holds {
			t.Errorf("%v, found %v in %d trials", err, found.Rate, len(found.Trials))
		}
	})
}

// TestFoundKeepsItself: a file gives back what a plan is made of.
func TestFoundKeepsItself(t *testing.T) {
	t.Parallel()
	summary, _ := measured(noon, 30) // 9 of each ten answered, in 3 s
	replica := func(at time.Duration, cpu, memory float64) load.Sample {
		return load.Sample{At: at, Metrics: map[string]float64{"resnet18_replica_slots": 1, "process_cpu_seconds_total": cpu, "process_resident_memory_bytes": memory}}
	}
	summary.Server = []load.Sample{{}, replica(time.Second, 10, 100), replica(3*time.Second, 10.38, 150)}
	found := &load.Found{Rate: 10}
	trial := load.Trial{Rate: 10, Holds: true, Summary: summary}
	for _, c := range conditions(t, "errors<20%", "p90<2s") {
		trial.Verdicts = append(trial.Verdicts, c.Check(summary))
	}
	found.Trials = []load.Trial{trial}
	path := filepath.Join(t.TempDir(), "search.json")
	if err := found.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := load.ReadFound(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rate != 10 || got.Capacity() != found.Capacity() || len(got.Trials) != 1 || asJSON(t, got.Best()) != asJSON(t, summary) {
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
	if _, err := load.ReadFound(path); err == nil || !strings.Contains(err.Error(), "--search --json") {
		t.Errorf("a result instead of a search: %v", err)
	}
}
