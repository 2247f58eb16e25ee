package dispatch

import (
	"fmt"
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	t.Parallel()
	type ask struct {
		at   time.Duration
		want time.Duration // until there is a token
	}
	for name, test := range map[string]struct {
		rate float64
		asks []ask
	}{
		"no limit":                       {0, []ask{{0, 0}, {0, 0}, {0, 0}}},
		"one second at first":            {2, []ask{{0, 0}, {0, 0}, {0, 500 * time.Millisecond}}},
		"then the rate":                  {2, []ask{{0, 0}, {0, 0}, {500 * time.Millisecond, 0}, {600 * time.Millisecond, 400 * time.Millisecond}, {time.Second, 0}}},
		"a refusal is free":              {1, []ask{{0, 0}, {0, time.Second}, {0, time.Second}, {time.Second, 0}}},
		"no more than a second is saved": {2, []ask{{0, 0}, {time.Hour, 0}, {time.Hour, 0}, {time.Hour, 500 * time.Millisecond}}},
		"less than one per second":       {0.1, []ask{{0, 0}, {0, 10 * time.Second}, {10 * time.Second, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r rates
			start := time.Now()
			c := client{name: "a", rate: test.rate}
			for i, ask := range test.asks {
				now := start.Add(ask.at)
				looked, took := r.wait(c, now), r.take(c, now)
				if near(looked, ask.want) && near(took, ask.want) {
					continue
				}
				t.Errorf("request %d at %s: wait %s, take %s, want %s", i, ask.at, looked, took, ask.want)
			}
			if other := (client{name: "b", rate: test.rate}); r.take(other, start) != 0 {
				t.Error("another client's first request is refused")
			}
		})
	}
}

func near(a, b time.Duration) bool { return (a - b).Abs() < time.Microsecond }

// TestRateChanges checks that a client's new rate applies to its bucket.
func TestRateChanges(t *testing.T) {
	t.Parallel()
	var r rates
	now := time.Now()
	r.take(client{name: "a", rate: 0.001}, now)
	if got := r.take(client{name: "a", rate: 0.001}, now); got < time.Minute {
		t.Errorf("the second request may come after %s", got)
	}
	if got := r.take(client{name: "a", rate: 10}, now.Add(100*time.Millisecond)); got > 100*time.Millisecond {
		t.Errorf("after the rate was raised, the next request may come after %s", got)
	}
}

// TestRatesForgetClients checks that memory is bounded by the clients of the last moments, and in any case.
func TestRatesForgetClients(t *testing.T) {
	t.Parallel()
	var r rates
	now := time.Now()
	for i := range 10_000 {
		now = now.Add(10 * time.Millisecond)
		r.take(client{name: fmt.Sprint(i), rate: 1}, now)
	}
	if n := len(r.buckets); n > 400 { // 100 clients in a second, and those since the last look
		t.Errorf("%d clients are remembered, want those of the last second", n)
	}
	most := 0
	for i := range 200_000 {
		r.take(client{name: fmt.Sprint("many ", i), rate: 1}, now)
		most = max(most, len(r.buckets))
	}
	if most > maxBuckets {
		t.Errorf("%d clients were remembered, want at most %d", most, maxBuckets)
	}
}
