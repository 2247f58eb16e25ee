package load

import "time"

// Sample is what the server said of itself at one moment.
type Sample struct {
	At         time.Duration      // since the start of the run
	Queue      int                // images waiting
	Processing int                // images that replicas have
	Replicas   int                // healthy ones
	Metrics    map[string]float64 // values of /metrics, summed over labels; nil when there are none
}
