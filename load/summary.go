package load

import (
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Summary adds records up: counts, distributions and a timeline. Summaries of several machines that loaded
// the same server can be merged. It is not safe for concurrent use.
type Summary struct {
	Started  time.Time
	Elapsed  time.Duration
	Schedule string // as it was written down
	Target   string // what was asked, and how
	Workers  int    // bound on requests under way; 0 in an open loop
	Machines int    // how many testers' results these are

	Sent    int
	OK      int
	Cached  int
	Checked int            // answers whose label was held against an expected one; wrong ones among them are failures
	Errors  map[string]int // by kind
	// Samples are one message of each kind of error.
	Samples map[string]string
	// Late counts requests that were sent more than LateAfter past their time: the tester or its workers
	// could not keep up with the schedule.
	Late int
	// Timeline has an entry for each second since Started.
	Timeline []Second
	// Server is what the server said of itself meanwhile, in order of time.
	Server []Sample

	spans map[string]*hdrhistogram.PackedHistogram
}

// LateAfter is how late a request may be sent without being counted as late.
const LateAfter = 10 * time.Millisecond

// The spans of time that a Summary has a distribution of; durations of requests that succeeded, but for
// SpanSend, which is of all.
const (
	SpanTotal     = "total"     // intended time to result: what a user feels
	SpanSubmit    = "submit"    // sending to acceptance
	SpanQueue     = "queue"     // waiting in the dispatcher
	SpanInference = "inference" // the network
	SpanAnswer    = "answer"    // sending to result: the total less the tester's own lateness
	SpanPollLag   = "poll lag"  // result there to result known
	SpanSend      = "send lag"  // intended time to sending
)

// Spans lists the spans in the order of a request's life, the sum of all first.
var Spans = []string{SpanTotal, SpanSend, SpanAnswer, SpanSubmit, SpanQueue, SpanInference, SpanPollLag}

// Latencies are kept from a microsecond to an hour in three significant digits.
const (
	lowest  = int64(1)
	highest = int64(time.Hour / time.Microsecond)
	digits  = 3
)

func newHistogram() *hdrhistogram.PackedHistogram {
	return hdrhistogram.NewPacked(lowest, highest, digits)
}

func observe(h *hdrhistogram.PackedHistogram, d time.Duration) {
	// RecordValue refuses only what is out of range.
	_ = h.RecordValue(min(max(d.Microseconds(), lowest), highest))
}

// NewSummary returns an empty summary of one machine.
func NewSummary() *Summary {
	s := &Summary{
		Machines: 1, Errors: map[string]int{}, Samples: map[string]string{},
		spans: map[string]*hdrhistogram.PackedHistogram{},
	}
	for _, name := range Spans {
		s.spans[name] = newHistogram()
	}
	return s
}

// Add counts one record.
func (s *Summary) Add(r Record) {
	s.Sent++
	s.addToTimeline(r)
	if r.Late() > LateAfter {
		s.Late++
	}
	observe(s.spans[SpanSend], r.Late())
	if r.Checked {
		s.Checked++
	}
	if !r.OK() {
		s.Errors[r.Error]++
		if s.Samples[r.Error] == "" {
			s.Samples[r.Error] = r.Detail
		}
		return
	}
	s.OK++
	observe(s.spans[SpanTotal], r.Latency())
	observe(s.spans[SpanAnswer], r.Done-r.Sent)
	observe(s.spans[SpanSubmit], r.Accepted-r.Sent)
	if r.FromCache {
		s.Cached++
		return // its stages are those of the image that was first
	}
	if r.Inference > 0 {
		observe(s.spans[SpanInference], r.Inference)
	}
	if r.Queue > 0 {
		observe(s.spans[SpanQueue], r.Queue)
	}
	if r.PollLag > 0 {
		observe(s.spans[SpanPollLag], r.PollLag)
	}
}

// Merge adds what another machine measured. Seconds are put beside each other by the machines' clocks, which
// must agree for that; the distributions do not need it.
func (s *Summary) Merge(o *Summary) error {
	if s.Started.IsZero() || o.Started.IsZero() {
		return errors.New("merge results: one does not say when it started")
	}
	if (s.Workers == 0) != (o.Workers == 0) {
		return errors.New("merge results: one is of an open loop, one of a closed one, and their latencies mean different things")
	}
	first, end := s.Started, s.Started.Add(s.Elapsed)
	if o.Started.Before(first) {
		first = o.Started
	}
	if e := o.Started.Add(o.Elapsed); e.After(end) {
		end = e
	}
	if end.Sub(first) > longest {
		return errors.New("merge results: they are more than a week apart")
	}
	s.shift(s.Started.Sub(first))
	s.mergeTimeline(o, o.Started.Sub(first))
	s.Started, s.Elapsed = first, end.Sub(first)
	if s.Schedule != o.Schedule {
		s.Schedule += " and " + o.Schedule
	}
	if s.Target != o.Target {
		s.Target += " and " + o.Target
	}
	s.Machines += o.Machines
	s.Workers += o.Workers
	s.Sent += o.Sent
	s.OK += o.OK
	s.Cached += o.Cached
	s.Checked += o.Checked
	s.Late += o.Late
	for kind, n := range o.Errors {
		s.Errors[kind] += n
	}
	samples := maps.Clone(o.Samples)
	maps.Copy(samples, s.Samples)
	s.Samples = samples
	for name, h := range s.spans {
		h.Merge(o.spans[name])
	}
	return nil
}

// Count is the number of observations of a span.
func (s *Summary) Count(span string) int { return int(s.spans[span].TotalCount()) }

// Percentile is the duration that the given share (0..100) of a span's observations does not exceed; zero
// when there are none.
func (s *Summary) Percentile(span string, percent float64) time.Duration {
	return microseconds(s.spans[span].ValueAtPercentile(percent))
}

// Mean is a span's mean.
func (s *Summary) Mean(span string) time.Duration {
	return time.Duration(s.spans[span].Mean() * float64(time.Microsecond))
}

// Max is a span's longest duration.
func (s *Summary) Max(span string) time.Duration { return microseconds(s.spans[span].Max()) }

// Never is how long a request without an answer lasts.
const Never = time.Duration(math.MaxInt64)

// Felt is the percentile of the total over all requests, not only those with an answer: one without lasts for
// ever. It is Never when that many failed.
func (s *Summary) Felt(percent float64) time.Duration {
	rank := max(1, math.Floor(percent/100*float64(s.Sent)+0.5)) // as HdrHistogram does
	if rank > float64(s.OK) {
		return Never
	}
	if s.OK == 0 {
		return 0
	}
	return s.Percentile(SpanTotal, 100*rank/float64(s.OK))
}

func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// Percentiles that reports show.
var Percentiles = []float64{50, 90, 95, 99, 99.9, 99.99}

// Enough says whether n observations can tell a percentile: ten must lie beyond it.
func Enough(n int, percent float64) bool { return float64(n)*(100-percent)/100 >= 10-1e-9 }

// Kinds lists the kinds of errors that occurred, in alphabetical order.
func (s *Summary) Kinds() []string { return slices.Sorted(maps.Keys(s.Errors)) }

// Rate is the number of right answers per second.
func (s *Summary) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.OK) / s.Elapsed.Seconds()
}
