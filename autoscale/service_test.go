package autoscale

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestSpeedFades checks images divided by seconds of work, both with a half-life of 5 s.
func TestSpeedFades(t *testing.T) {
	t.Parallel()
	var s speed
	near(t, "rate of nothing", s.rate(), 0)
	s.observe(10, 1, 1)
	near(t, "rate", s.rate(), 10)
	one := speed{}
	one.observe(1, 0.1, 1)
	near(t, "rate of one image", one.rate(), 10)
	s.observe(12, 1, 5) // half of it is left
	near(t, "rate", s.rate(), (5+12)/1.5)
	s.observe(12, 1, 10) // a quarter
	near(t, "rate", s.rate(), (17./4+12)/(1.5/4+1))
	before := s
	s.observe(0, 1, 1)
	s.observe(1, 0, 1)
	s.observe(-1, 1, 1)
	s.observe(1, -1, 1)
	if s != before {
		t.Errorf("seconds without images or work change %+v to %+v", before, s)
	}
}

// TestSpeedStartsOver when a second with 20 images or more differs by 2.5 of its standard errors, at least 8 %.
func TestSpeedStartsOver(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		images, differs float64 // from 100/s
		anew            bool
	}{
		{10_000, 0.081, true}, {10_000, 0.079, false}, {10_000, -0.081, true}, {10_000, -0.079, false}, // one error is 1 %
		{400, 0.126, true}, {400, 0.124, false}, {400, -0.126, true}, // 5 %
		{100, 0.251, true}, {100, 0.249, false}, // 10 %
		{20, 0.6, true}, {20, 0.55, false}, // 22 %
		{19, 5, false}, // too few
	} {
		s := speed{Images: 1e6, Seconds: 1e4}
		rate := 100 * (1 + test.differs)
		s.observe(test.images, test.images/rate, 1)
		if anew := s == (speed{test.images, test.images / rate}); anew != test.anew {
			t.Errorf("a second of %v images at %v instead of 100/s: begins anew %v, want %v", test.images, rate, anew, test.anew)
		}
	}
	s := speed{Images: 50, Seconds: 0.5}
	s.observe(100, 2, 1)
	near(t, "rate after half a second of work at twice the speed", s.rate(), 50)
	s = speed{}
	s.observe(100, 1, 1) // the first contradicts nothing
	near(t, "rate", s.rate(), 100)
}

func started(created time.Time, after time.Duration) Replica {
	return Replica{Created: created, ReadyAt: created.Add(after), Ready: true}
}

// TestDelays checks that each replica's start counts once and the last 50 are kept.
func TestDelays(t *testing.T) {
	t.Parallel()
	var d delays
	replicas := []Replica{started(start, 2*time.Second), started(start.Add(-time.Second), 3*time.Second), // at the same time
		{Created: start}, {ReadyAt: start.Add(2 * time.Second), Ready: true}} // starting; since when is unknown
	d.observe(replicas)
	d.observe(replicas)
	if fmt.Sprint(d.Seconds) != "[2 3]" {
		t.Errorf("delays %v, want 2 s and 3 s, once", d.Seconds)
	}
	d.observe([]Replica{started(start.Add(time.Second), 5*time.Second), started(start.Add(time.Second), 4*time.Second)})
	if fmt.Sprint(d.Seconds) != "[2 3 5 4]" || !d.Latest.Equal(start.Add(6*time.Second)) {
		t.Errorf("delays %v until %v, want those that were ready since, too", d.Seconds, d.Latest)
	}
	d.observe([]Replica{started(start.Add(time.Minute), -time.Second)})
	if got := d.Seconds[4]; got != 0 {
		t.Errorf("a replica that was ready before it was asked for, by other clocks, took %v s, want 0", got)
	}
	for i := range 60 {
		d.observe([]Replica{started(start.Add(time.Duration(i+2)*time.Minute), time.Duration(i)*time.Second)})
		if want := min(50, 6+i); len(d.Seconds) != want {
			t.Fatalf("%d delays are kept, want %d", len(d.Seconds), want)
		}
	}
	if d.Seconds[0] != 10 || d.Seconds[49] != 59 {
		t.Errorf("delays from %v to %v are kept, want the last ones, 10 to 59", d.Seconds[0], d.Seconds[49])
	}
}

// TestDelayParts checks a guess of 5 s until six replicas have started, then the delay that nine of ten do not exceed,
// without those that take much longer, which have a share.
func TestDelayParts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		delays       []float64
		quick, share float64
	}{
		{"five", []float64{1, 1, 1, 1, 1}, 5, 0},
		{"six", []float64{1, 1, 1, 1, 1, 1}, 1, 0},
		{"the example", []float64{63, 2, 3, 3, 63, 2, 4, 3, 63, 2}, 4, 0.3},
		{"twice the median and 5 s more is usual", []float64{3, 3, 3, 3, 3, 8, 8, 8}, 8, 0},
		{"just more is not", []float64{3, 3, 3, 3, 3, 8.1, 8.1, 8.1}, 3, 0.375},
		{"slow starts may take twice the median", []float64{30, 30, 30, 30, 60, 60}, 60, 0},
		{"two in five are the most", []float64{1, 1, 1, 60, 60}, 5, 0},
		{"more are usual", []float64{1, 1, 1, 1, 60, 60, 60}, 60, 0},
		{"ten, in no order", []float64{9, 1, 2, 3, 4, 5, 6, 7, 8, 10}, 10, 0},
		{"eleven", []float64{9, 1, 2, 3, 4, 5, 6, 7, 8, 10, 1}, 9, 0},
	} {
		d := delays{Seconds: test.delays}
		before := slices.Clone(d.Seconds)
		quick, share := d.parts()
		near(t, test.name+": quick", quick, test.quick)
		near(t, test.name+": share of stragglers", share, test.share)
		if !slices.Equal(d.Seconds, before) {
			t.Errorf("%s: asking has sorted what was remembered", test.name)
		}
	}
}
