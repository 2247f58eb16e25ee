package report

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/result/resulttest"
	"github.com/resnet18cloud/resnet18cloud/load/search"
)

// lasting is a run of so many seconds.
func lasting(seconds int) *result.Summary {
	s := result.NewSummary()
	s.Timeline = make([]result.Second, seconds)
	return s
}

func TestTimeAxis(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int]string{
		0: "s: 0 1", 1: "s: 0 1", 10: "s: 0 1 2 3 4 5 6 7 8 9 10", 56: "s: 0 10 20 30 40 50", 659: "min: 0 1 2 3 4 5 6 7 8 9 10",
		5400: "min: 0 10 20 30 40 50 60 70 80 90", 6 * 3600: "h: 0 1 2 3 4 5 6",
		24 * 3600: "h: 0 6 12 18 24", 7 * 24 * 3600: "h: 0 24 48 72 96 120 144 168",
	} {
		a := timeAxis(lasting(seconds))
		var labels []string
		for _, tick := range a.Ticks {
			labels = append(labels, tick.Label)
		}
		_, unit, _ := strings.Cut(a.Label, ", ")
		if got := unit + ": " + strings.Join(labels, " "); got != want {
			t.Errorf("%d seconds: %s, want %s", seconds, got, want)
		}
	}
}

// TestBucket: never more than 600 points, and no fewer than needed for that among the round steps.
func TestBucket(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int]int{0: 1, 600: 1, 601: 2, 1200: 2, 1201: 5, 6000: 10, 86400: 300, 7 * 86400: 1800} {
		if got := bucket(lasting(seconds)); got != want {
			t.Errorf("%d seconds: %d, want %d", seconds, got, want)
		}
	}
	if interval(1) != "second" || interval(5) != "5 seconds" {
		t.Errorf("intervals %q, %q", interval(1), interval(5))
	}
}

// TestOverTime: two seconds a point, of which the last is half as long; no point where there is no value.
func TestOverTime(t *testing.T) {
	t.Parallel()
	s := lasting(1201)
	s.Timeline[0].Sent, s.Timeline[4].Sent, s.Timeline[1200].Sent = 3, 5, 7
	points := overTime(s, func(b result.Second, seconds int) float64 {
		if b.Sent == 0 {
			return math.NaN()
		}
		return float64(b.Sent) / float64(seconds)
	})
	if len(points) != 2 || points[0].X != 0 || points[0].Y != 8./5 || points[1].X != 1200 || points[1].Y != 7 {
		t.Errorf("points %v, want the first 5 seconds and the last one", points)
	}
}

func TestPercentileAxis(t *testing.T) {
	t.Parallel()
	ticks := percentileAxis(2.5).Ticks
	if n := len(ticks); n != 4 || ticks[n-1].Label != "p99" || math.Abs(ticks[n-1].Value-2) > 1e-9 || math.Abs(ticks[1].Value-math.Log10(2)) > 1e-9 {
		t.Errorf("ticks %v, want p0, p50, p90, p99", ticks)
	}
}

func TestSearchText(t *testing.T) {
	t.Parallel()
	good, _ := resulttest.Run(resulttest.Noon, 9)
	bad, _ := resulttest.Run(resulttest.Noon, 30)
	good.Cached = 4
	found := &search.Result{Rate: 10, Open: true, Trials: []search.Trial{{Rate: 20, Summary: bad}, {Rate: 10, Holds: true, Summary: good}}}
	text := func() string {
		var b strings.Builder
		if err := Search(&b, found); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, want := range []string{
		"20.0        9.2       3    17.0   never     1  BROKEN", "10.0        9.0       0    6.00    1000     1   holds",
		"10.0 requests/s hold, the highest rate tried; the highest rate of answers over ten seconds was 9.5/s",
		"4 of 9 answers (44 %) came from the server's cache; use --unique",
	} {
		if got := text(); !strings.Contains(got, want) {
			t.Errorf("text lacks %q:\n%s", want, got)
		}
	}
	found.Rate = 0
	if got := text(); strings.Contains(got, "hold,") {
		t.Errorf("no rate holds:\n%s", got)
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	s := result.NewSummary()
	if late, _ := lateness(s); loop(s) != "open loop" || late != "" || Cached(s) != "" {
		t.Errorf("empty: %q, %q, %q", loop(s), late, Cached(s))
	}
	s.Machines = 2
	if got := loop(s); got != "open loop, results of 2 testers" {
		t.Errorf("loop = %q", got)
	}
	s.Workers, s.Machines = 50, 1
	if loop(s) != "closed loop of 50 workers" {
		t.Errorf("closed loop: %q", loop(s))
	}
	for want, c := range map[string]struct {
		late, sent, workers int
		serious             bool
	}{
		"1 of 84 requests (1.2 %) sent more than 10ms late":                                              {1, 84, 0, false},
		"4 of 100 requests (4.0 %) sent more than 10ms late":                                             {4, 100, 50, false},
		"5 of 100 requests (5.0 %) sent more than 10ms late: this machine did not keep up":               {5, 100, 0, true},
		"100 of 100 requests (100 %) sent more than 10ms late: a closed loop of 50 workers waits for":    {100, 100, 50, true},
		"3 of 7 requests (43 %) sent more than 10ms late: this machine did not keep up with the schedul": {3, 7, 0, true},
	} {
		s := result.Summary{Late: c.late, Sent: c.sent, Workers: c.workers}
		if got, serious := lateness(&s); !strings.HasPrefix(got, want) || serious != c.serious || !serious && got != want {
			t.Errorf("%d of %d late: %q, serious %t, want %q, %t", c.late, c.sent, got, serious, want, c.serious)
		}
	}
	for d, want := range map[time.Duration]string{0: "-", 1500 * time.Microsecond: "1.50", 12340 * time.Microsecond: "12.3", 1234 * time.Millisecond: "1234"} {
		if got := short(d); got != want {
			t.Errorf("short(%s) = %q, want %q", d, got, want)
		}
	}
	if shortOrNever(result.Never) != "never" || shortOrNever(time.Second) != "1000" {
		t.Errorf("never: %q, a second: %q", shortOrNever(result.Never), shortOrNever(time.Second))
	}
}
