package load_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/load"
)

// oneAtATime is a server that takes work for each image and does one after the other.
func oneAtATime(t *testing.T, work time.Duration) *client.Client {
	t.Helper()
	slot := make(chan struct{}, 1)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/predict" {
			return
		}
		select {
		case slot <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		time.Sleep(work)
		<-slot
		_, _ = w.Write([]byte(goldfinch))
	})
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
			Config: load.Config{Target: load.Sync{Client: oneAtATime(t, 10*time.Millisecond)}, Images: picture(t, "a.jpg"), Timeout: 5 * time.Minute},
			SLO:    conditions(t, "mean<30ms", "errors<1%"), Duration: time.Minute,
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
				c.search.Config = load.Config{Target: load.Sync{Client: oneAtATime(t, time.Millisecond)}, Images: picture(t, "a.jpg")}
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
