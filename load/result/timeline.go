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
	Failed   int            // failures received in it
	Errors   map[string]int // failures by kind; nil if there are none

	latency *hdrhistogram.PackedHistogram // of successful requests due in it; nil if there are none
}

// longest limits a timeline: the longest schedule, and time for the last answers.
const longest = 8 * 24 * time.Hour

// Percentile is the latency that the given percentage of the requests due in this second did not exceed; zero if none of
// them succeeded.
func (s *Second) Percentile(percent float64) time.Duration {
	if s.latency == nil {
		return 0
	}
	return microseconds(s.latency.ValueAtPercentile(percent))
}

// Max is the longest latency of the requests due in this second.
func (s *Second) Max() time.Duration {
	if s.latency == nil {
		return 0
	}
	return microseconds(s.latency.Max())
}

func (s *Second) histogram() *hdrhistogram.PackedHistogram {
	if s.latency == nil {
		s.latency = newHistogram()
	}
	return s.latency
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
	s.Failed += o.Failed
	for kind, n := range o.Errors {
		s.fail(kind, n)
	}
	if o.latency != nil {
		s.histogram().Merge(o.latency)
	}
}

func (s *Summary) addToTimeline(r Record) {
	s.at(r.Intended).Offered++
	s.at(r.Sent).Sent++
	if r.OK() {
		s.at(r.Done).Answered++
		observe(s.at(r.Intended).histogram(), r.Latency())
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
