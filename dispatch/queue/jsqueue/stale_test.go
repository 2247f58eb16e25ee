package jsqueue

import (
	"testing"
	"time"
)

func TestStale(t *testing.T) {
	t.Parallel()
	taken := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		age, ackWait time.Duration
		want         bool
	}{
		"just taken":               {0, 10 * time.Second, false},
		"before half":              {5*time.Second - 1, 10 * time.Second, false},
		"at half":                  {5 * time.Second, 10 * time.Second, true},
		"after the whole ack wait": {11 * time.Second, 10 * time.Second, true},
		"clock set back":           {-time.Hour, 10 * time.Second, false},
		"short ackWait":            {300 * time.Millisecond, 500 * time.Millisecond, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := stale(taken, taken.Add(test.age), test.ackWait); got != test.want {
				t.Errorf("stale after %s of %s = %t, want %t", test.age, test.ackWait, got, test.want)
			}
		})
	}
}
