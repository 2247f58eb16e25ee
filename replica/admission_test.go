package replica

import (
	"errors"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// TestClearsIn checks that a rejected client may retry when all current requests are done, several at a time.
func TestClearsIn(t *testing.T) {
	t.Parallel()
	const service = 120 * time.Millisecond
	tests := map[string]struct {
		slots, here int
		service     time.Duration
		want        time.Duration
	}{
		"no image yet": {2, 5, 0, 0},
		"no requests":  {2, 0, service, 0},
		"one slot":     {1, 5, service, 5 * service},
		"two slots":    {2, 5, service, 5 * service / 2},
		"eight slots":  {8, 4, service, service / 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmission(test.slots, test.here)
			a.service = test.service
			for range test.here {
				if err := a.enter(); err != nil {
					t.Fatal(err)
				}
			}
			if got := a.clearsIn(); got != test.want {
				t.Errorf("clearsIn = %s, want %s", got, test.want)
			}
		})
	}
}

// TestRefusalSaysWhen checks that the error of a full queue has that time.
func TestRefusalSaysWhen(t *testing.T) {
	t.Parallel()
	a := newAdmission(2, 2)
	a.service = time.Second
	for range 4 {
		if err := a.enter(); err != nil {
			t.Fatal(err)
		}
	}
	e, ok := errors.AsType[*resnet18cloud.Error](a.enter())
	if !ok || e.Code != resnet18cloud.CodeFull || e.RetryAfter != 2*time.Second {
		t.Errorf("fifth of four: %v, want full for 2 s", e)
	}
	a.leave()
	if err := a.enter(); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

// TestObserve checks that the first image sets the service time, and that each further one has a weight of 1/8.
func TestObserve(t *testing.T) {
	t.Parallel()
	a := newAdmission(1, 1)
	for i, want := range []time.Duration{800 * time.Millisecond, 700 * time.Millisecond} {
		a.observe([]time.Duration{800 * time.Millisecond, 0}[i])
		if a.service != want {
			t.Errorf("service time after image %d is %s, want %s", i, a.service, want)
		}
	}
}
