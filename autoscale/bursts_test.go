package autoscale

import (
	"testing"
	"time"
)

// second is a time of the worked examples.
func second(n float64) time.Time { return start.Add(time.Duration(n * float64(time.Second))) }

// TestBursts checks what begins a burst, what ends it, and what is another level of the load.
func TestBursts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		rates []float64 // from second 1
		past  int
		now   burst
	}{
		{"as usual", []float64{100, 120, 150, 160}, 0, burst{}},
		{"one begins", []float64{100, 161}, 0, burst{second(1), second(2), 161}},
		{"it goes on", []float64{100, 161, 600, 300}, 0, burst{second(1), second(4), 600}},
		{"it may pause", []float64{600, 100, 100, 300}, 0, burst{second(0), second(4), 600}},
		{"it is over", []float64{600, 100, 100, 100}, 1, burst{}},
		{"another level", repeat(121, 600), 0, burst{}},
	} {
		var b bursts
		for i, r := range test.rates {
			b.observe(second(float64(i+1)), r, 100, 1)
		}
		if len(b.Past) != test.past || b.Now != test.now {
			t.Errorf("%s: %d are over, now %+v; want %d, %+v", test.name, len(b.Past), b.Now, test.past, test.now)
		}
	}
	var b bursts
	if b.observe(second(1), 161, 100, 2); !b.Now.Start.IsZero() {
		t.Error("161 images/s begin a burst although arrivals vary twice as much")
	}
	for i := range 10 {
		b.observe(second(float64(100*i)), 600, 100, 1)
		b.observe(second(float64(100*i+3)), 100, 100, 1)
	}
	if len(b.Past) != burstsKept {
		t.Errorf("%d bursts are kept", len(b.Past))
	}
}

// TestForeseenBursts has the example of bursts.next, and checks what is not regular.
func TestForeseenBursts(t *testing.T) {
	t.Parallel()
	at := func(starts ...float64) bursts {
		var b bursts
		for i, s := range starts {
			b.Past = append(b.Past, burst{second(s), second(s + 2), []float64{590, 610, 600}[i%3]})
		}
		return b
	}
	under := at(0, 60)
	under.Now = burst{second(120), second(121), 650}
	for _, test := range []struct {
		name       string
		b          bursts
		now        float64
		start, end float64 // both 0: none
	}{
		{"none", at(), 10, 0, 0},
		{"two say nothing", at(0, 60), 70, 0, 0},
		{"the example", at(0, 60, 121), 150, 121 + 60.5 - 2, 121 + 60.5 + 4},
		{"the last one may not be over", at(0, 60, 121), 125, 121, 125},
		{"it is over", at(0, 60, 121), 126, 179.5, 185.5},
		{"it did not come", at(0, 60, 121), 186, 0, 0},
		{"2 s apart", at(0, 60, 122), 150, 181, 187},
		{"more", at(0, 60, 122.1), 150, 0, 0},
		{"sooner", at(0, 60, 117.9), 150, 0, 0},
		{"of long intervals, 3 %", at(0, 300, 609), 700, 911.5, 917.5},
		{"of long intervals, more", at(0, 300, 610), 700, 0, 0},
		{"the last three count", at(0, 10, 60, 110), 120, 158, 164},
		{"one that has begun counts", under, 121, 120, 124},
	} {
		got, regular := test.b.next(second(test.now))
		want := foreseen{second(test.start), second(test.end), got.rate}
		if none := test.end == 0; regular == none || !none && got != want {
			t.Errorf("%s: %v from %v to %v, want %v to %v", test.name, regular, got.start.Sub(start), got.end.Sub(start), test.start, test.end)
		}
	}
	b := at(0, 60, 121)
	if f, _ := b.next(second(150)); f.rate != 610 {
		t.Errorf("the next one is expected with %v images/s, want the most, 610", f.rate)
	}
	if f, _ := under.next(second(121)); f.rate != 650 {
		t.Errorf("the one that has begun is expected to have %v images/s, want 650", f.rate)
	}
}

// TestDeadlinePreparesForBursts: after three bursts at equal intervals, replicas for the fourth are started in time and
// removed after it, and its images do not count for the rate.
func TestDeadlinePreparesForBursts(t *testing.T) {
	t.Parallel()
	w := deadlineWorld(7, 100)
	w.run(120)
	late := func() (ready, after int) {
		w.run(59)
		ready = w.s.Ready()
		w.rate = 600
		w.run(1)
		w.rate = 100
		w.run(1)
		return ready, w.s.Queue
	}
	for range 3 {
		if ready, _ := late(); ready > 25 {
			t.Errorf("%d replicas are ready before a burst that is not foreseen", ready)
		}
	}
	ready, waiting := late()
	if ready < 30 || waiting > 100 {
		t.Errorf("before the fourth %d replicas are ready, and %d images wait after it; want 30 and few", ready, waiting)
	}
	if rate := w.decision.Figure("rate_images_per_second"); rate > 150 {
		t.Errorf("the rate counts the burst: %v images/s", rate)
	}
	w.run(30)
	if n := w.s.Desired; n > 12 {
		t.Errorf("half a minute after it there are %d replicas", n)
	}
}
