package result_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/result/resulttest"
)

// TestSpans checks which times of a request each span holds.
func TestSpans(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	whole := result.Record{
		Intended: 5 * ms, Sent: 9 * ms, Accepted: 19 * ms, Done: 109 * ms, Queue: 30 * ms, Inference: 40 * ms, PollLag: 7 * ms,
	}
	with := func(change func(*result.Record)) result.Record {
		r := whole
		change(&r)
		return r
	}
	for name, test := range map[string]struct {
		record result.Record
		want   map[string]time.Duration
	}{
		"answered": {whole, map[string]time.Duration{
			result.SpanTotal: 104 * ms, result.SpanComputed: 104 * ms, result.SpanSend: 4 * ms, result.SpanAnswer: 100 * ms, result.SpanSubmit: 10 * ms,
			result.SpanQueue: 30 * ms, result.SpanInference: 40 * ms, result.SpanPollLag: 7 * ms,
		}},
		// The stages of an answer from the cache are those of an earlier request.
		"from the cache": {with(func(r *result.Record) { r.FromCache = true }), map[string]time.Duration{
			result.SpanTotal: 104 * ms, result.SpanCached: 104 * ms, result.SpanSend: 4 * ms, result.SpanAnswer: 100 * ms, result.SpanSubmit: 10 * ms,
		}},
		"failed": {with(func(r *result.Record) { r.Error = "full" }), map[string]time.Duration{result.SpanSend: 4 * ms}},
		"stages not reported": {with(func(r *result.Record) { r.Queue, r.Inference, r.PollLag = 0, 0, 0 }), map[string]time.Duration{
			result.SpanTotal: 104 * ms, result.SpanComputed: 104 * ms, result.SpanSend: 4 * ms, result.SpanAnswer: 100 * ms, result.SpanSubmit: 10 * ms,
		}},
		"within a microsecond": {with(func(r *result.Record) { r.Queue, r.Inference, r.PollLag = 1, 1, 1 }), map[string]time.Duration{
			result.SpanTotal: 104 * ms, result.SpanComputed: 104 * ms, result.SpanSend: 4 * ms, result.SpanAnswer: 100 * ms, result.SpanSubmit: 10 * ms,
			result.SpanQueue: time.Microsecond, result.SpanInference: time.Microsecond, result.SpanPollLag: time.Microsecond,
		}},
	} {
		s := result.NewSummary()
		s.Add(test.record)
		for _, span := range result.Spans {
			want, there := test.want[span]
			count := map[bool]int{true: 1}[there]
			if got := s.Count(span); got != count {
				t.Errorf("%s: %d times of %s, want %d", name, got, span, count)
			}
			precision := want / 1000 // of histograms
			for figure, got := range map[string]time.Duration{"mean": s.Mean(span), "max": s.Max(span), "p50": s.Percentile(span, 50)} {
				if (got - want).Abs() > precision {
					t.Errorf("%s: %s of %s is %s, want %s", name, figure, span, got, want)
				}
			}
		}
	}
}

// TestLate checks that a request counts as late only beyond LateAfter, whatever comes of it.
func TestLate(t *testing.T) {
	t.Parallel()
	s := result.NewSummary()
	for _, r := range []result.Record{
		{Intended: time.Second, Sent: time.Second + result.LateAfter},
		{Intended: time.Second, Sent: time.Second + result.LateAfter + 1},
		{Intended: time.Second, Sent: time.Second + result.LateAfter + 1, Error: "full"},
	} {
		s.Add(r)
	}
	if s.Late != 2 || s.Sent != 3 {
		t.Errorf("%d of %d late, want 2 of 3", s.Late, s.Sent)
	}
}

func TestEnoughSamples(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		percent float64
		least   int
	}{{50, 20}, {90, 100}, {99, 1000}, {99.9, 10_000}, {99.99, 100_000}} {
		if !result.EnoughSamples(test.least, test.percent) || result.EnoughSamples(test.least-1, test.percent) {
			t.Errorf("p%v: want ten observations beyond it, so %d in all", test.percent, test.least)
		}
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		elapsed time.Duration
		want    float64
	}{{0, 0}, {1, 3e9}, {500 * time.Millisecond, 6}, {2 * time.Second, 1.5}} {
		s := result.Summary{Sent: 5, OK: 3, Elapsed: test.elapsed}
		if got := s.Rate(); got != test.want {
			t.Errorf("3 answers in %s: %v/s, want %v", test.elapsed, got, test.want)
		}
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	s, _ := resulttest.Run(resulttest.Noon, 30)
	for _, test := range []struct {
		first, last     int
		offered, failed int
	}{{0, 1, 10, 1}, {1, 3, 20, 2}, {-2, 1, 10, 1}, {2, 9, 10, 1}, {1, 1, 0, 0}, {5, 9, 0, 0}} {
		got := s.Between(test.first, test.last)
		if got.Offered != test.offered || got.Failed != test.failed || got.Errors["full"] != test.failed || (got.Max() > 0) != (test.offered > 0) {
			t.Errorf("from second %d to %d: %+v, want %d offered, %d failed", test.first, test.last, got, test.offered, test.failed)
		}
	}
	late, inAll := s.Between(2, 3), s.Between(0, 3)
	if late.Max() >= time.Second || inAll.Max() < time.Second {
		t.Errorf("longest latency is %s in the last second and %s in all, want 29ms and 1s", late.Max(), inAll.Max())
	}
}

// TestMergeDescribes checks what a merged result says of its two machines.
func TestMergeDescribes(t *testing.T) {
	t.Parallel()
	at := func(seconds ...int) (samples []result.Sample) {
		for _, s := range seconds {
			samples = append(samples, result.Sample{At: time.Duration(s) * time.Second})
		}
		return samples
	}
	for name, test := range map[string]struct {
		change           func(a, b *result.Summary) // b began 2 s after a
		schedule, target string
		workers, checked int
		examples         map[string]string
		server           []result.Sample
	}{
		"alike": {func(a, b *result.Summary) {}, "constant:10:1m", "http://server (sync)", 0, 0, map[string]string{"full": "Queue is full"}, nil},
		"different": {func(a, b *result.Summary) {
			b.Schedule, b.Target = "ramp:1:5:1m", "http://other (sync)"
			a.Settings = []result.Setting{{Name: "seed", Value: "1"}, {Name: "timeout", Value: "1m"}}
			b.Settings = []result.Setting{{Name: "timeout", Value: "1m"}, {Name: "seed", Value: "2"}, {Name: "tester", Value: "x"}}
			a.Workers, b.Workers = 2, 3
			a.Checked, b.Checked = 4, 5
			b.Examples = map[string]string{"full": "other words", "refused": "connection refused"}
		}, "constant:10:1m and ramp:1:5:1m", "http://server (sync) and http://other (sync)", 5, 9,
			map[string]string{"full": "Queue is full", "refused": "connection refused"}, nil},
		"both sampled the server": {func(a, b *result.Summary) { a.Server, b.Server = at(0, 1), at(0, 1) },
			"constant:10:1m", "http://server (sync)", 0, 0, map[string]string{"full": "Queue is full"}, at(0, 1)},
		"one sampled the server": {func(a, b *result.Summary) { b.Server = at(0, 1) },
			"constant:10:1m", "http://server (sync)", 0, 0, map[string]string{"full": "Queue is full"}, at(2, 3)},
	} {
		a, _ := resulttest.Run(resulttest.Noon, 10)
		b, _ := resulttest.Run(resulttest.Noon.Add(2*time.Second), 10)
		test.change(a, b)
		of := b.Server
		if err := a.Merge(b); err != nil {
			t.Fatal(name, err)
		}
		if a.Schedule != test.schedule || a.Target != test.target || a.Workers != test.workers || a.Checked != test.checked {
			t.Errorf("%s: %q at %q with %d workers, %d checked; want %q at %q, %d, %d",
				name, a.Schedule, a.Target, a.Workers, a.Checked, test.schedule, test.target, test.workers, test.checked)
		}
		if want := []result.Setting{{Name: "seed", Value: "1 and 2"}, {Name: "timeout", Value: "1m"}, {Name: "tester", Value: "x"}}; name == "different" && !slices.Equal(a.Settings, want) {
			t.Errorf("settings %v, want %v", a.Settings, want)
		}
		if diff := cmp.Diff(test.examples, a.Examples); diff != "" {
			t.Errorf("%s: examples (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(test.server, a.Server); diff != "" {
			t.Errorf("%s: samples of the server (-want +got):\n%s", name, diff)
		}
		if len(of) > 0 && of[0].At != 0 {
			t.Errorf("%s: merging changed the other result", name)
		}
	}
}

// TestMergeRoundsToSeconds checks that timelines are joined second by second, with the nearest of the other's.
func TestMergeRoundsToSeconds(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration][]int{
		400 * time.Millisecond:  {20},
		600 * time.Millisecond:  {10, 10},
		1400 * time.Millisecond: {10, 10},
		1600 * time.Millisecond: {10, 0, 10},
	} {
		for _, order := range []string{"first + second", "second + first"} {
			a, _ := resulttest.Run(resulttest.Noon, 10)
			b, _ := resulttest.Run(resulttest.Noon.Add(after), 10)
			a.Timeline, b.Timeline = a.Timeline[:1], b.Timeline[:1] // without the answer to the late request
			if order == "second + first" {
				a, b = b, a
			}
			if err := a.Merge(b); err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, second := range a.Timeline {
				got = append(got, second.Offered)
			}
			if !cmp.Equal(got, want) {
				t.Errorf("%s, started %s apart: offered per second %v, want %v", order, after, got, want)
			}
		}
	}
}

// TestFilePercentiles checks the percentiles in a file, which other programs read, and which of them are unsure.
func TestFilePercentiles(t *testing.T) {
	t.Parallel()
	s := result.NewSummary()
	for range 1000 {
		s.Add(result.Record{Done: time.Second})
	}
	var got struct {
		Spans map[string]struct {
			Percentiles map[string]float64
			Unsure      []string
		}
	}
	if err := json.Unmarshal([]byte(asJSON(t, s)), &got); err != nil {
		t.Fatal(err)
	}
	total := got.Spans[result.SpanTotal]
	if want := []string{"p50", "p90", "p95", "p99", "p99.9", "p99.99"}; !slices.Equal(slices.Sorted(maps.Keys(total.Percentiles)), want) {
		t.Errorf("percentiles %v, want %v", total.Percentiles, want)
	}
	if want := []string{"p99.9", "p99.99"}; !slices.Equal(total.Unsure, want) {
		t.Errorf("unsure of %v, want %v", total.Unsure, want)
	}
	if _, there := got.Spans[result.SpanQueue]; there {
		t.Error("a span without observations is in the file")
	}
}
