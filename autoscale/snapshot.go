package autoscale

import (
	"math"
	"time"
)

// Snapshot is the state of load and replicas at one moment. Its counters are sums over all dispatchers and continue
// over their restarts: they never decrease.
type Snapshot struct {
	// At is when the counters and the queue were read. Zero means that they never were: only Desired and Replicas are
	// set.
	At time.Time `json:"at"`
	// Missed is the last time at which a dispatcher was missing from the counters; zero if none ever was.
	Missed time.Time `json:"missed,omitzero"`
	Counters

	Queue         int `json:"queue"`          // images waiting in the dispatchers' queue
	QueueCapacity int `json:"queue_capacity"` // maximum of Queue; further images are refused
	InFlight      int `json:"in_flight"`      // images sent to replicas without a response yet

	Desired  int       `json:"desired"`  // wanted number of replicas
	Replicas []Replica `json:"replicas"` // existing replicas, in no particular order
}

// Counters are totals since some start; policies use differences.
type Counters struct {
	Uptime    time.Duration `json:"uptime"`    // since the start
	Offered   int64         `json:"offered"`   // images for replicas: accepted, or refused because the queue was full; not those served from the cache
	Refused   int64         `json:"refused"`   // those refused because the queue was full
	Completed int64         `json:"completed"` // those processed by a replica
	Failed    int64         `json:"failed"`    // those accepted that failed
	Service   time.Duration `json:"service"`   // sum over Completed of the time for which the image kept one worker of a replica busy
	Queueing  time.Duration `json:"queueing"`  // sum over Completed of the time from arrival until a replica took the image
}

// Replica is one replica, from its creation to its end.
type Replica struct {
	Name      string    `json:"name"`               // never reused: a process or pod
	URL       string    `json:"url,omitempty"`      // as in the endpoints of /status; may be empty before it is ready
	Created   time.Time `json:"created"`            // when it was requested
	ReadyAt   time.Time `json:"ready_at,omitzero"`  // when it was first ready; zero while it is starting
	Turned    time.Time `json:"turned,omitzero"`    // when Ready last changed; zero means at ReadyAt
	Ready     bool      `json:"ready"`              // it accepts images now
	Stopping  bool      `json:"stopping,omitempty"` // it is finishing its images and will exit
	Workers   int       `json:"workers,omitempty"`  // images it processes at the same time; 0 means 1
	InFlight  int       `json:"in_flight,omitempty"`
	CPU       *float64  `json:"cpu,omitempty"`       // usage as a share of the CPU request, 0.7 for 70 %, as of a metrics server; nil if unknown
	CPUWindow Window    `json:"cpu_window,omitzero"` // over which CPU is averaged
}

// Window is a span of time over which something was averaged.
type Window struct {
	End    time.Time     `json:"end"`
	Length time.Duration `json:"length"`
}

// Starting reports whether the replica has not been ready yet.
func (r Replica) Starting() bool { return r.ReadyAt.IsZero() && !r.Stopping }

// turned is when the replica last became ready or unready: when it was created, if it never did.
func (r *Replica) turned() time.Time {
	switch {
	case !r.Turned.IsZero():
		return r.Turned
	case !r.ReadyAt.IsZero():
		return r.ReadyAt
	}
	return r.Created
}

// existing counts the replicas that are not stopping.
func (s Snapshot) existing() int {
	n := 0
	for i := range s.Replicas {
		if !s.Replicas[i].Stopping {
			n++
		}
	}
	return n
}

// Age is the age of the counters; the maximum duration if there are none.
func (s Snapshot) Age(now time.Time) time.Duration {
	if s.At.IsZero() {
		return math.MaxInt64
	}
	return max(0, now.Sub(s.At))
}

// Ready counts the ready replicas.
func (s Snapshot) Ready() int {
	n := 0
	for i := range s.Replicas {
		if s.Replicas[i].Ready && !s.Replicas[i].Stopping {
			n++
		}
	}
	return n
}

// Starting counts the replicas that have not been ready yet.
func (s Snapshot) Starting() int {
	n := 0
	for i := range s.Replicas {
		if s.Replicas[i].Starting() {
			n++
		}
	}
	return n
}

// Workers is how many images a replica processes at the same time: the mean over ready replicas, 1 if there are none.
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
