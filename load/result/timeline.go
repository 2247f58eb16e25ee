package result

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Second counts the events in one second of a run.
type Second struct {
	Offered  int            // requests due in it
	Sent     int            // requests sent in it
	Answered int            // successful answers received in it
	Cached   int            // those of Answered that came from the server's cache
	Failed   int            // failures received in it
	Errors   map[string]int // failures by kind; nil if there are none

	// Latencies of successful requests due in it, by where their answers came from; nil if there are none.
	computed, cached *hdrhistogram.PackedHistogram
}

// longest limits a timeline: the longest schedule, and time for the last answers.
const longest = 8 * 24 * time.Hour

// Percentile is the latency that the given percentage of the requests due in this second did not exceed; zero if none of
// them succeeded.
func (s *Second) Percentile(percent float64) time.Duration { return percentile(s.all(), percent) }

// PercentileComputed is Percentile of the requests whose answers were computed.
func (s *Second) PercentileComputed(percent float64) time.Duration {
	return percentile(s.computed, percent)
}

// PercentileCached is Percentile of the requests whose answers came from the server's cache.
func (s *Second) PercentileCached(percent float64) time.Duration {
	return percentile(s.cached, percent)
}

// Count is the number of requests due in this second that succeeded, of which so many were computed.
func (s *Second) Count() (all, computed int) {
	if s.cached != nil {
		all = int(s.cached.TotalCount())
	}
	if s.computed != nil {
		computed = int(s.computed.TotalCount())
	}
	return all + computed, computed
}

// Latencies returns latencies that stand for those of the requests due in this second, sorted: all of them if they are at
// most n, else n quantiles at equal distances.
func (s *Second) Latencies(n int) []time.Duration { return latencies(s.all(), n) }

// LatenciesComputed is Latencies of the requests whose answers were computed.
func (s *Second) LatenciesComputed(n int) []time.Duration { return latencies(s.computed, n) }

func latencies(h *hdrhistogram.PackedHistogram, n int) []time.Duration {
	if h == nil {
		return nil
	}
	all := make([]time.Duration, min(n, int(h.TotalCount())))
	for i := range all {
		all[i] = percentile(h, 100*(float64(i)+0.5)/float64(len(all)))
	}
	return all
}

// Max is the longest latency of the requests due in this second.
func (s *Second) Max() time.Duration {
	longest := time.Duration(0)
	for _, h := range []*hdrhistogram.PackedHistogram{s.computed, s.cached} {
		if h != nil {
			longest = max(longest, microseconds(h.Max()))
		}
	}
	return longest
}

func percentile(h *hdrhistogram.PackedHistogram, percent float64) time.Duration {
	if h == nil {
		return 0
	}
	return microseconds(h.ValueAtPercentile(percent))
}

// all is the histogram of all latencies; nil if there are none.
func (s *Second) all() *hdrhistogram.PackedHistogram {
	switch {
	case s.cached == nil:
		return s.computed
	case s.computed == nil:
		return s.cached
	}
	h := newHistogram()
	h.Merge(s.computed)
	h.Merge(s.cached)
	return h
}

// made returns the histogram at a place, and makes it if there is none.
func made(h **hdrhistogram.PackedHistogram) *hdrhistogram.PackedHistogram {
	if *h == nil {
		*h = newHistogram()
	}
	return *h
}

func (s *Second) fail(kind string, n int) {
	if s.Errors == nil {
		s.Errors = map[string]int{}
	}
	s.Errors[kind] += n
}

// at returns the second that contains a time since the start.
func (s *Summary) at(t time.Duration) *Second {
	i := int(min(max(t, 0), longest) / time.Second)
	if more := i + 1 - len(s.Timeline); more > 0 {
		s.Timeline = append(s.Timeline, make([]Second, more)...)
	}
	return &s.Timeline[i]
}

// Between sums the seconds from first up to, but not including, last.
func (s *Summary) Between(first, last int) Second {
	var sum Second
	for i := max(0, first); i < min(last, len(s.Timeline)); i++ {
		sum.add(&s.Timeline[i])
	}
	return sum
}

func (s *Second) add(o *Second) {
	s.Offered += o.Offered
	s.Sent += o.Sent
	s.Answered += o.Answered
	s.Cached += o.Cached
	s.Failed += o.Failed
	for kind, n := range o.Errors {
		s.fail(kind, n)
	}
	if o.computed != nil {
		made(&s.computed).Merge(o.computed)
	}
	if o.cached != nil {
		made(&s.cached).Merge(o.cached)
	}
}

func (s *Summary) addToTimeline(r Record) {
	s.at(r.Intended).Offered++
	s.at(r.Sent).Sent++
	if r.OK() {
		end := s.at(r.Done)
		end.Answered++
		if r.FromCache {
			end.Cached++
			observe(made(&s.at(r.Intended).cached), r.Latency())
		} else {
			observe(made(&s.at(r.Intended).computed), r.Latency())
		}
		return
	}
	end := s.at(r.Done)
	end.Failed++
	end.fail(r.Error, 1)
}

// shift delays the timeline by whole seconds.
func (s *Summary) shift(by time.Duration) {
	by = by.Round(time.Second)
	s.Timeline = append(make([]Second, int(by/time.Second)), s.Timeline...)
	for i := range s.Server {
		s.Server[i].At += by
	}
}

func (s *Summary) mergeTimeline(o *Summary, shift time.Duration) {
	shift = shift.Round(time.Second)
	for i := range o.Timeline {
		s.at(time.Duration(i)*time.Second + shift).add(&o.Timeline[i])
	}
	// All machines sampled the same server: the samples of one are enough.
	if len(s.Server) == 0 {
		for _, sample := range o.Server {
			sample.At += shift
			s.Server = append(s.Server, sample)
		}
	}
}
