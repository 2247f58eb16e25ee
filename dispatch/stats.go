package dispatch

import (
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// stats are the numbers behind /status and the estimates.
type stats struct {
	started time.Time

	mu         sync.Mutex // guards all below
	total      int        // requests accepted or answered from the cache
	completed  int
	worked     int // completed without the cache
	failed     int
	unusable   int // failed because of their image
	cancelled  int
	last       time.Time     // arrival of the last request
	peak       int           // largest number of waiting jobs seen
	processing time.Duration // sum over worked
	queueing   time.Duration
	demand     scalingMetrics // for autoscalers; Queueing and Failed are above
	service    time.Duration  // smoothed time an image occupies a slot; 0 before the first image
	busy       time.Duration  // smoothed time an image occupies a worker; 0 before the first image
}

func newStats(now time.Time) *stats { return &stats{started: now} }

// accepted counts a request, and records how many jobs were waiting.
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

// refused counts an image that needed a replica and found the queue full.
func (s *stats) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.demand.Offered++
	s.demand.Refused++
}

// ended counts the end of a request.
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
		if unusable(r) {
			s.unusable++
		}
	case resnet18cloud.StatusCancelled:
		s.cancelled++
	}
}

// unusable reports whether a request failed because its image cannot be classified, whoever tries.
func unusable(r store.Record) bool {
	if r.Status != resnet18cloud.StatusFailed || r.Failure == nil {
		return false
	}
	switch r.Failure.Code {
	case resnet18cloud.CodeUndecodable, resnet18cloud.CodeUnsupported, resnet18cloud.CodeTooLarge, resnet18cloud.CodeInvalid, resnet18cloud.CodeUnsuited:
		return true
	}
	return false
}

// processingTime returns the time from a request's last start to its end. Results from the cache take none.
func processingTime(r store.Record) time.Duration {
	if r.StartedAt.IsZero() || r.CompletedAt.IsZero() {
		return 0
	}
	return max(0, r.CompletedAt.Sub(r.StartedAt))
}

// queueTime returns the time from a request's arrival to its last start.
func queueTime(r store.Record) time.Duration {
	if r.StartedAt.IsZero() {
		return 0
	}
	return max(0, r.StartedAt.Sub(r.QueuedAt))
}

// answered adds the time a replica's worker was busy with an image: as reported by the replica, or else the duration
// of the whole attempt.
func (s *stats) answered(r resnet18cloud.Result, attempt time.Duration) {
	busy := busyTime(r, attempt)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.demand.Completed++
	s.demand.ServiceSeconds += busy.Seconds()
	if s.busy == 0 {
		s.busy = busy
	}
	s.busy += (busy - s.busy) / 16
}

// busyTime returns the time a replica's worker was busy with an image.
func busyTime(r resnet18cloud.Result, attempt time.Duration) time.Duration {
	busy := r.Timing.Decode + r.Timing.Preprocess + r.Timing.Inference
	if busy == 0 {
		busy = resnet18cloud.Seconds(max(0, r.InferenceTime))
	}
	if busy == 0 {
		busy = attempt
	}
	return busy
}

// meanBusy returns the smoothed time an image occupies a worker of a replica; 0 before the first image.
func (s *stats) meanBusy() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

// served updates the mean time an image occupies a slot. It is exponentially smoothed by 1/16, so an image is
// forgotten after about fifty others.
func (s *stats) served(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.service == 0 {
		s.service = d
	}
	s.service += (d - s.service) / 16
}

// serviceTime returns the smoothed time an image occupies a slot of a replica; 0 before the first image.
func (s *stats) serviceTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.service
}
