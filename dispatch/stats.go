package dispatch

import (
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// stats are the figures behind /status and the estimates.
type stats struct {
	started time.Time

	mu         sync.Mutex // guards all below
	total      int        // requests accepted or answered from the cache
	completed  int
	worked     int // completed, and not from the cache
	failed     int
	cancelled  int
	last       time.Time     // when the last request arrived
	peak       int           // most jobs seen waiting
	processing time.Duration // sums over worked
	queueing   time.Duration
	demand     scalingMetrics // for autoscalers; Queueing and Failed are above
	service    time.Duration  // smoothed time an image occupies a slot; 0 before the first
}

func newStats(now time.Time) *stats { return &stats{started: now} }

// accepted notes a request, and how many were waiting with it.
func (s *stats) accepted(r store.Record, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if r.QueuedAt.After(s.last) {
		s.last = r.QueuedAt
	}
	s.peak = max(s.peak, waiting)
	if !r.FromCache {
		s.demand.Offered++
	}
}

// refused notes an image that wanted a replica and found the queue full.
func (s *stats) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.demand.Offered++
	s.demand.Refused++
}

// ended notes the end of a request.
func (s *stats) ended(r store.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Status {
	case resnet18cloud.StatusCompleted:
		s.completed++
		if !r.FromCache {
			s.worked++
			s.processing += processingTime(r)
			s.queueing += queueTime(r)
		}
	case resnet18cloud.StatusFailed:
		s.failed++
	case resnet18cloud.StatusCancelled:
		s.cancelled++
	}
}

// processingTime is the time from a request's last start to its end. Answers from the cache take none.
func processingTime(r store.Record) time.Duration {
	if r.StartedAt.IsZero() || r.CompletedAt.IsZero() {
		return 0
	}
	return max(0, r.CompletedAt.Sub(r.StartedAt))
}

// queueTime is the time from a request's arrival to its last start.
func queueTime(r store.Record) time.Duration {
	if r.StartedAt.IsZero() {
		return 0
	}
	return max(0, r.StartedAt.Sub(r.QueuedAt))
}

// answered notes how long a replica's worker was busy with an image: what the replica says, or else the
// whole attempt.
func (s *stats) answered(r resnet18cloud.Result, attempt time.Duration) {
	busy := r.Timing.Decode + r.Timing.Preprocess + r.Timing.Inference
	if busy == 0 {
		busy = resnet18cloud.Seconds(max(0, r.InferenceTime))
	}
	if busy == 0 {
		busy = attempt
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.demand.Completed++
	s.demand.ServiceSeconds += busy.Seconds()
}

// served notes how long an image occupied a slot: the mean moves a sixteenth of the way, so that it forgets
// an image after some fifty others.
func (s *stats) served(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.service == 0 {
		s.service = d
	}
	s.service += (d - s.service) / 16
}

// serviceTime is the smoothed time that an image holds a slot of a replica; 0 before the first.
func (s *stats) serviceTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.service
}
