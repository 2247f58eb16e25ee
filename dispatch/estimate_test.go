package dispatch

import (
	"testing"
	"time"
)

func TestEstimatedWait(t *testing.T) {
	t.Parallel()
	const service = 200 * time.Millisecond
	tests := map[string]struct {
		service                 time.Duration
		waiting, working, slots int
		want                    time.Duration
	}{
		"no replica":               {service, 10, 0, 0, 0},
		"nothing classified yet":   {0, 10, 4, 4, 0},
		"idle":                     {service, 0, 0, 4, service},
		"the last free slot":       {service, 0, 3, 4, service},
		"the first that waits":     {service, 0, 4, 4, service + 50*time.Millisecond},
		"ten wait":                 {service, 10, 4, 4, service + 11*50*time.Millisecond},
		"one slot":                 {service, 3, 1, 1, service + 4*service},
		"more slots than requests": {service, 2, 3, 100, service},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := estimatedWait(test.service, test.waiting, test.working, test.slots); got != test.want {
				t.Errorf("estimatedWait = %s, want %s", got, test.want)
			}
		})
	}
}

// TestRetryAfterFull checks that a rejected client returns when a quarter of the queue has cleared.
func TestRetryAfterFull(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		capacity int
		service  time.Duration
		slots    int
		want     time.Duration
	}{
		"no replica":             {200, time.Second, 0, time.Second},
		"nothing classified yet": {200, 0, 4, time.Second},
		"at least a second":      {200, time.Millisecond, 4, time.Second},
		"a quarter":              {200, 200 * time.Millisecond, 4, 2500 * time.Millisecond},
		"twice the slots":        {200, 200 * time.Millisecond, 8, 1250 * time.Millisecond},
		"a quarter, rounded up":  {201, time.Second, 1, 51 * time.Second},
		"three more fit":         {204, time.Second, 1, 51 * time.Second},
		"four more do not":       {205, time.Second, 1, 52 * time.Second},
		"a queue of one":         {1, 3 * time.Second, 1, 3 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := retryAfterFull(test.capacity, test.service, test.slots); got != test.want {
				t.Errorf("retryAfterFull = %s, want %s", got, test.want)
			}
		})
	}
}
