package result

import "time"

// Sample is the state of the server at one time of a run, as the server reports it.
type Sample struct {
	At         time.Duration      // since the start of the run
	HasStatus  bool               // a dispatcher's /status answered; otherwise the next three fields are not known
	Queue      int                // images waiting
	Processing int                // images that replicas are classifying
	Replicas   int                // healthy replicas
	Metrics    map[string]float64 // values of /metrics, summed over labels; nil if there are none
}
