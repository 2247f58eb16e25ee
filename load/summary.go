package load

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Summary adds records up. It is not safe for concurrent use.
type Summary struct {
	Started time.Time     `json:"started"`
	Elapsed time.Duration `json:"elapsed"`

	Sent   int            `json:"sent"`
	OK     int            `json:"ok"`
	Cached int            `json:"cached"`
	Errors map[string]int `json:"errors"` // by kind
	// Samples are one message of each kind of error.
	Samples map[string]string `json:"samples"`
	// Late counts requests that were sent more than LateAfter past their time: the tester or its workers
	// could not keep up with the schedule.
	Late int `json:"late"`

	spans map[string]*hdrhistogram.Histogram
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
	SpanPollLag   = "poll lag"  // result there to result known
	SpanSend      = "send lag"  // intended time to sending
)

var spanNames = []string{SpanTotal, SpanSubmit, SpanQueue, SpanInference, SpanPollLag, SpanSend}

// Latencies are kept from a microsecond to an hour in three significant digits.
const (
	lowest  = int64(time.Microsecond / time.Microsecond)
	highest = int64(time.Hour / time.Microsecond)
)

// NewSummary returns an empty summary.
func NewSummary() *Summary {
	s := &Summary{Errors: map[string]int{}, Samples: map[string]string{}, spans: map[string]*hdrhistogram.Histogram{}}
	for _, name := range spanNames {
		s.spans[name] = hdrhistogram.New(lowest, highest, 3)
	}
	return s
}

// Add counts one record.
func (s *Summary) Add(r Record) {
	s.Sent++
	if r.Late() > LateAfter {
		s.Late++
	}
	s.observe(SpanSend, r.Late())
	if !r.OK() {
		s.Errors[r.Error]++
		if s.Samples[r.Error] == "" {
			s.Samples[r.Error] = r.Detail
		}
		return
	}
	s.OK++
	s.observe(SpanTotal, r.Latency())
	s.observe(SpanSubmit, r.Accepted-r.Sent)
	s.observe(SpanInference, r.Inference)
	if r.FromCache {
		s.Cached++
		return
	}
	s.observe(SpanQueue, r.Queue)
	s.observe(SpanPollLag, r.PollLag)
}

func (s *Summary) observe(span string, d time.Duration) {
	// RecordValue refuses only what is out of range.
	_ = s.spans[span].RecordValue(min(max(d.Microseconds(), lowest), highest))
}

// Percentile is the duration that the given share (0..100) of a span's observations does not exceed; zero
// when there are none.
func (s *Summary) Percentile(span string, percent float64) time.Duration {
	return time.Duration(s.spans[span].ValueAtQuantile(percent)) * time.Microsecond
}

// percentiles that the report shows.
var percentiles = []float64{50, 90, 95, 99, 99.9, 99.99}

// enough says whether n observations can tell a percentile: ten must lie beyond it.
func enough(n int64, percent float64) bool { return float64(n)*(100-percent)/100 >= 10-1e-9 }

// WriteText writes the summary for people.
func (s *Summary) WriteText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	failed := s.Sent - s.OK
	fmt.Fprintf(w, "%d images in %.1f s: %d answered (%d from the cache), %d failed, %.1f answers/s\n",
		s.Sent, s.Elapsed.Seconds(), s.OK, s.Cached, failed, float64(s.OK)/s.Elapsed.Seconds())
	for _, kind := range slices.Sorted(maps.Keys(s.Errors)) {
		fmt.Fprintf(w, "  %d x %s, for example: %s\n", s.Errors[kind], kind, s.Samples[kind])
	}
	if s.Late > 0 {
		fmt.Fprintf(w, "%d sent more than %s late: the schedule asks for more than this tester's workers can send\n", s.Late, LateAfter)
	}
	fmt.Fprint(tw, "milliseconds\tmean\t")
	for _, p := range percentiles {
		fmt.Fprintf(tw, "p%g\t", p)
	}
	fmt.Fprintln(tw, "max\t")
	unsure := false
	for _, name := range spanNames {
		h := s.spans[name]
		if h.TotalCount() == 0 {
			continue
		}
		fmt.Fprintf(tw, "%s\t%.2f\t", name, h.Mean()/1000)
		for _, p := range percentiles {
			mark := ""
			if !enough(h.TotalCount(), p) {
				mark, unsure = "~", true
			}
			fmt.Fprintf(tw, "%s%.2f\t", mark, float64(h.ValueAtQuantile(p))/1000)
		}
		fmt.Fprintf(tw, "%.2f\t\n", float64(h.Max())/1000)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	if unsure {
		fmt.Fprintln(w, "~: fewer than ten observations lie beyond this percentile; do not rely on it")
	}
	return nil
}

// SuccessRatio is the share of requests answered rightly, 0..1; NaN when none was sent.
func (s *Summary) SuccessRatio() float64 {
	if s.Sent == 0 {
		return math.NaN()
	}
	return float64(s.OK) / float64(s.Sent)
}
