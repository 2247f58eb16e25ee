package result

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Summary aggregates records: counts, distributions and a timeline. Summaries of several machines that loaded the same
// server can be merged. It is not safe for concurrent use.
type Summary struct {
	Started  time.Time
	Elapsed  time.Duration
	Schedule string // as the user wrote it
	Target   string // address of the server and how it was called
	Workers  int    // maximum number of concurrent requests; 0 in an open loop
	Machines int    // number of testers whose results are merged
	Settings []Setting

	Sent    int
	OK      int
	Cached  int            // answers from the server's cache, as far as the server tells
	Checked int            // answers whose label was compared with an expected one; wrong labels count as failures
	Models  map[string]int // answers by identity and precision of the model, as far as the server tells
	Errors  map[string]int // by kind
	// Examples holds one message of each kind of error.
	Examples map[string]string
	// Late counts requests sent more than LateAfter after their intended time: the tester or its workers did not keep
	// up with the schedule.
	Late int
	// Timeline has an entry for each second since Started.
	Timeline []Second
	// Server holds samples of the server's state, ordered by time.
	Server []Sample

	spans map[string]*hdrhistogram.PackedHistogram
}

// LateAfter is the delay of sending beyond which a request counts as late.
const LateAfter = 10 * time.Millisecond

// The spans of which a Summary holds the distribution, for successful requests; SpanSend is for all requests.
const (
	SpanTotal     = "total"     // intended time to result: latency as users see it
	SpanComputed  = "computed"  // the total of answers that were computed
	SpanCached    = "cached"    // the total of answers from the server's cache
	SpanSubmit    = "submit"    // sending to acceptance
	SpanQueue     = "queue"     // waiting in the dispatcher
	SpanInference = "inference" // the network
	SpanAnswer    = "answer"    // sending to result: the total without the tester's own delay
	SpanPollLag   = "poll lag"  // result ready to result received
	SpanSend      = "send lag"  // intended time to sending
)

// Spans lists the spans, the total first, then its two parts, then the others in chronological order.
var Spans = []string{SpanTotal, SpanComputed, SpanCached, SpanSend, SpanAnswer, SpanSubmit, SpanQueue, SpanInference, SpanPollLag}

// Histograms hold latencies from a microsecond to an hour with three significant digits.
const (
	lowest  = int64(1)
	highest = int64(time.Hour / time.Microsecond)
	digits  = 3
)

func newHistogram() *hdrhistogram.PackedHistogram {
	return hdrhistogram.NewPacked(lowest, highest, digits)
}

func observe(h *hdrhistogram.PackedHistogram, d time.Duration) {
	// RecordValue fails only if the value is out of range.
	_ = h.RecordValue(min(max(d.Microseconds(), lowest), highest))
}

// NewSummary returns an empty summary of one machine.
func NewSummary() *Summary {
	s := &Summary{
		Machines: 1, Models: map[string]int{}, Errors: map[string]int{}, Examples: map[string]string{},
		spans: map[string]*hdrhistogram.PackedHistogram{},
	}
	for _, name := range Spans {
		s.spans[name] = newHistogram()
	}
	return s
}

// Add adds one record.
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
		if s.Examples[r.Error] == "" {
			s.Examples[r.Error] = r.Detail
		}
		return
	}
	s.OK++
	if r.Model != "" {
		s.addModel(r.Model, 1)
	}
	observe(s.spans[SpanTotal], r.Latency())
	observe(s.spans[SpanAnswer], r.Done-r.Sent)
	observe(s.spans[SpanSubmit], r.Accepted-r.Sent)
	if r.FromCache {
		s.Cached++
		observe(s.spans[SpanCached], r.Latency())
		return // its stages are those of an earlier request
	}
	observe(s.spans[SpanComputed], r.Latency())
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

// addModel counts answers of a model. Servers choose the names, so that their number is limited.
func (s *Summary) addModel(model string, n int) {
	const most, others = 20, "others"
	if _, known := s.Models[model]; !known && len(s.Models) >= most {
		model = others
	}
	s.Models[model] += n
}

// Merge adds the results of another machine. The timelines are aligned by the machines' clocks, which must agree; the
// distributions do not depend on them.
func (s *Summary) Merge(o *Summary) error {
	if s.Started.IsZero() || o.Started.IsZero() {
		return errors.New("merge results: one has no start time")
	}
	if (s.Workers == 0) != (o.Workers == 0) {
		return errors.New("merge results: one is of an open loop and one of a closed loop, so their latencies are not comparable")
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
		s.Schedule += joined + o.Schedule
	}
	if s.Target != o.Target {
		s.Target += joined + o.Target
	}
	s.Settings = mergeSettings(s.Settings, o.Settings)
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
	for model, n := range o.Models {
		s.addModel(model, n)
	}
	examples := maps.Clone(o.Examples)
	maps.Copy(examples, s.Examples)
	s.Examples = examples
	for name, h := range s.spans {
		h.Merge(o.spans[name])
	}
	return nil
}

// mergeSettings returns the settings of both. A name that has another value in each has both.
func mergeSettings(a, b []Setting) []Setting {
	all := slices.Clone(a)
	for _, s := range b {
		i := slices.IndexFunc(all, func(other Setting) bool { return other.Name == s.Name })
		switch {
		case i < 0:
			all = append(all, s)
		case !slices.Contains(strings.Split(all[i].Value, joined), s.Value):
			all[i].Value += joined + s.Value
		}
	}
	return all
}

// joined is what stands between values of different machines.
const joined = " and "

// Count is the number of observations of a span.
func (s *Summary) Count(span string) int { return int(s.spans[span].TotalCount()) }

// Percentile is the duration that the given percentage of a span's observations does not exceed; zero if there are
// none.
func (s *Summary) Percentile(span string, percent float64) time.Duration {
	return microseconds(s.spans[span].ValueAtPercentile(percent))
}

// Mean is a span's mean.
func (s *Summary) Mean(span string) time.Duration {
	return time.Duration(s.spans[span].Mean() * float64(time.Microsecond))
}

// Max is a span's longest duration.
func (s *Summary) Max(span string) time.Duration { return microseconds(s.spans[span].Max()) }

// Never is the latency of a request without an answer.
const Never = time.Duration(math.MaxInt64)

// PercentileAll is the percentile of the total over all requests. A failed request counts as one with the latency Never.
func (s *Summary) PercentileAll(percent float64) time.Duration {
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

// Percentiles lists the percentiles that reports show.
var Percentiles = []float64{50, 90, 95, 99, 99.9, 99.99}

// EnoughSamples reports whether n observations determine a percentile: at least ten must lie beyond it.
func EnoughSamples(n int, percent float64) bool { return float64(n)*(100-percent)/100 >= 10-1e-9 }

// Split reports whether some answers came from the server's cache, and are apart from those that were computed in the
// spans and in the timeline. Files of older versions only have their number.
func (s *Summary) Split() bool { return s.Count(SpanCached) > 0 }

// CachedShare is the share of answers that came from the server's cache, 0..1.
func (s *Summary) CachedShare() float64 { return float64(s.Cached) / float64(max(s.OK, 1)) }

// ModelNames lists the models that answered, sorted.
func (s *Summary) ModelNames() []string { return slices.Sorted(maps.Keys(s.Models)) }

// Kinds lists the kinds of errors that occurred, sorted.
func (s *Summary) Kinds() []string { return slices.Sorted(maps.Keys(s.Errors)) }

// Rate is the number of successful answers per second.
func (s *Summary) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.OK) / s.Elapsed.Seconds()
}
