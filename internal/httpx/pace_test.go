package httpx

import (
	"math"
	"testing"
	"time"
)

// TestGrace checks when a client is cut off that sends a burst first, and then a portion every interval.
func TestGrace(t *testing.T) {
	t.Parallel()
	const least = 16 << 10
	tests := map[string]struct {
		burst   int64
		portion int64
		every   time.Duration
		minRate int64
		cut     time.Duration // 0 means not within a minute
	}{
		"silent":                   {0, 0, time.Hour, least, 5 * time.Second},
		"4 KiB/s":                  {0, 4 << 10, time.Second, least, 6500 * time.Millisecond},
		"just too slow":            {0, 14 << 10, time.Second, least, 33875 * time.Millisecond}, // loses 1/8 s each second
		"just fast enough":         {0, 16 << 10, time.Second, least, 0},
		"fast":                     {0, 1 << 20, 100 * time.Millisecond, least, 0},
		"all at once, then silent": {8 << 20, 0, time.Hour, least, 10 * time.Second},
		"stops after a while":      {0, 1 << 20, 11 * time.Second, least, 5 * time.Second},
		"a byte now and then":      {0, 1, 4 * time.Second, least, 5 * time.Second},
		"no minimum rate":          {0, 0, time.Hour, 0, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPace()
			p.add(test.burst, 0, test.minRate)
			cut := time.Duration(0)
			for at := time.Duration(0); at < time.Minute; at += test.every {
				if p.grace < test.every && test.minRate > 0 {
					cut = at + p.grace
					break
				}
				p.add(test.portion, test.every, test.minRate)
			}
			if cut.Round(time.Millisecond) != test.cut {
				t.Errorf("cut after %s, want %s", cut, test.cut)
			}
		})
	}
}

// TestRate checks that the rate covers the last one to two seconds.
func TestRate(t *testing.T) {
	t.Parallel()
	type step struct {
		n     int64
		after time.Duration
	}
	tests := map[string]struct {
		steps   []step
		silence time.Duration
		want    float64
	}{
		"first second":                               {[]step{{10, 100 * time.Millisecond}}, 0, math.Inf(1)},
		"first second, silent":                       {nil, 999 * time.Millisecond, math.Inf(1)},
		"silent for a second":                        {nil, time.Second, 0},
		"ten a second":                               {[]step{{10, time.Second}, {10, time.Second}, {10, time.Second}}, 0, 10},
		"ten a second, half a second":                {[]step{{10, time.Second}, {10, time.Second}}, 500 * time.Millisecond, 10 / 1.5},
		"five each half second":                      {[]step{{5, time.Second / 2}, {5, time.Second / 2}, {5, time.Second / 2}, {5, time.Second / 2}}, 0, 10},
		"thirty each three seconds":                  {[]step{{30, 3 * time.Second}, {30, 3 * time.Second}}, 0, 10},
		"a burst is forgotten":                       {[]step{{1 << 20, 0}}, 2 * time.Second, 0},
		"a burst is half forgotten":                  {[]step{{1000, 0}}, 1500 * time.Millisecond, 1000 / 1.5},
		"slow at first, then fast":                   {[]step{{1, 5 * time.Second}, {1000, time.Second}}, 0, 1000},
		"fast at first, then slow":                   {[]step{{1 << 20, time.Second}, {10, time.Second}, {10, time.Second}}, 0, 10},
		"time waiting for the server does not count": {[]step{{500, 500 * time.Millisecond}, {500, 500 * time.Millisecond}}, 0, 1000},
		"silence is not counted twice":               {[]step{{100, time.Second}}, 0, 100},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPace()
			for _, s := range test.steps {
				p.add(s.n, s.after, 1)
			}
			if got := p.rate(test.silence); got != test.want {
				t.Errorf("rate = %v, want %v", got, test.want)
			}
			if again := p.rate(test.silence); again != test.want {
				t.Errorf("rate asked again = %v, want %v", again, test.want)
			}
		})
	}
}
