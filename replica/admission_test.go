package replica

import (
	"errors"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// TestClearsIn: a refused image may come back when all that are here now have been worked on, several at a time.
func TestClearsIn(t *testing.T) {
	t.Parallel()
	const service = 120 * time.Millisecond
	tests := map[string]struct {
		slots, here int
		service     time.Duration
		want        time.Duration
	}{
		"nothing was worked on yet": {2, 5, 0, 0},
		"nobody is here":            {2, 0, service, 0},
		"one slot":                  {1, 5, service, 5 * service},
		"two slots":                 {2, 5, service, 5 * service / 2},
		"eight slots":               {8, 4, service, service / 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newAdmission(test.slots, test.here)
			l.service = test.service
			for range test.here {
				if err := l.enter(); err != nil {
					t.Fatal(err)
				}
			}
			if got := l.clearsIn(); got != test.want {
				t.Errorf("clearsIn = %s, want %s", got, test.want)
			}
		})
	}
}

// TestRefusalSaysWhen: the refusal of a full line carries that time.
func TestRefusalSaysWhen(t *testing.T) {
	t.Parallel()
	l := newAdmission(2, 2)
	l.service = time.Second
	for range 4 {
		if err := l.enter(); err != nil {
			t.Fatal(err)
		}
	}
	e, ok := errors.AsType[*resnet18cloud.Error](l.enter())
	if !ok || e.Code != resnet18cloud.CodeFull || e.RetryAfter != 2*time.Second {
		t.Errorf("fifth of four: %v, want full for 2 s", e)
	}
	l.leave()
	if err := l.enter(); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

// TestLearn: the first image gives the service time, each further one moves it an eighth of the way.
func TestLearn(t *testing.T) {
	t.Parallel()
	l := newAdmission(1, 1)
	for i, want := range []time.Duration{800 * time.Millisecond, 700 * time.Millisecond} {
		l.observe([]time.Duration{800 * time.Millisecond, 0}[i])
		if l.service != want {
			t.Errorf("service time after image %d is %s, want %s", i, l.service, want)
		}
	}
}
