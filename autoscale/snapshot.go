package autoscale

import (
	"math"
	"time"
)

// Snapshot is what is known at one moment of the load and of the replicas. Its counters are the sums over all
// dispatchers and continue over their restarts: they never go back.
type Snapshot struct {
	// At is when the counters and the queue were read. Zero means that they never were: then only Desired
	// and Replicas are set.
	At time.Time `json:"at"`
	// Missed is when a dispatcher was last missing from the counters; zero if none ever was.
	Missed time.Time `json:"missed,omitzero"`
	Counters

	Queue         int `json:"queue"`          // images waiting in the dispatchers' queue
	QueueCapacity int `json:"queue_capacity"` // as many may wait; further ones are refused
	InFlight      int `json:"in_flight"`      // images sent to replicas and not answered yet

	Desired  int       `json:"desired"`  // replicas that were asked for last
	Replicas []Replica `json:"replicas"` // those that exist, in no order
}

// Counters are totals since some start; policies look at differences.
type Counters struct {
	Uptime    time.Duration `json:"uptime"`    // since the start
	Offered   int64         `json:"offered"`   // images that wanted a replica: accepted or refused for lack of room, not those answered from the cache
	Refused   int64         `json:"refused"`   // those refused for lack of room
	Completed int64         `json:"completed"` // those a replica has answered
	Failed    int64         `json:"failed"`    // those accepted that ended without an answer
	Service   time.Duration `json:"service"`   // sum over Completed of the time one worker of a replica was busy with the image
	Queueing  time.Duration `json:"queueing"`  // sum over Completed of the time from arrival to the replica
}

// Replica is one replica, from its making to its end.
type Replica struct {
	Name      string    `json:"name"`               // unique for ever: a process or pod
	URL       string    `json:"url,omitempty"`      // as in the endpoints of /status; may be empty before it is ready
	Created   time.Time `json:"created"`            // when it was asked for
	ReadyAt   time.Time `json:"ready_at,omitzero"`  // when it served first; zero while it starts
	Ready     bool      `json:"ready"`              // it takes images now
	Stopping  bool      `json:"stopping,omitempty"` // it was asked to leave, and finishes what it has
	Workers   int       `json:"workers,omitempty"`  // images it works on at the same time; 0 means 1
	InFlight  int       `json:"in_flight,omitempty"`
	CPU       *float64  `json:"cpu,omitempty"`       // use as a share of what it asked for, 0.7 for 70 %, as a metrics server says it; nil where nobody knows
	CPUWindow Window    `json:"cpu_window,omitzero"` // what CPU is the mean of
}

// Window is a stretch of time over which something was averaged.
type Window struct {
	End    time.Time     `json:"end"`
	Length time.Duration `json:"length"`
}

// Starting reports whether the replica has not served yet.
func (r Replica) Starting() bool { return r.ReadyAt.IsZero() && !r.Stopping }

// Age is how old the counters are; a very long time if there never were any.
func (s Snapshot) Age(now time.Time) time.Duration {
	if s.At.IsZero() {
		return math.MaxInt64
	}
	return max(0, now.Sub(s.At))
}

// Ready counts the replicas that serve.
func (s Snapshot) Ready() int {
	n := 0
	for i := range s.Replicas {
		if s.Replicas[i].Ready && !s.Replicas[i].Stopping {
			n++
		}
	}
	return n
}

// Starting counts the replicas that will serve but have not yet.
func (s Snapshot) Starting() int {
	n := 0
	for i := range s.Replicas {
		if s.Replicas[i].Starting() {
			n++
		}
	}
	return n
}

// Workers is how many images a replica works on at the same time: the mean over those that serve, 1 when
// none does.
func (s Snapshot) Workers() float64 {
	sum, n := 0, 0
	for i := range s.Replicas {
		if r := &s.Replicas[i]; r.Ready && !r.Stopping {
			sum, n = sum+max(1, r.Workers), n+1
		}
	}
	if n == 0 {
		return 1
	}
	return float64(sum) / float64(n)
}
