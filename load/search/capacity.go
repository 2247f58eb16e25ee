package search

import (
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// Capacity is the highest rate of answers over ten seconds of any trial (over all of a shorter trial): what the server
// can do if users wait.
func (r *Result) Capacity() float64 {
	const window = 10
	highest := 0.0
	for _, t := range r.Trials {
		n, sum := min(window, max(1, int(t.Summary.Elapsed/time.Second))), 0
		for i := range t.Summary.Timeline {
			sum += t.Summary.Timeline[i].Answered
			if i >= n {
				sum -= t.Summary.Timeline[i-n].Answered
			}
			highest = max(highest, float64(sum)/float64(n))
		}
	}
	return highest
}

// ReplicaCost is the cost of an image in the best trial: CPU seconds per image, and the replica's maximum memory. It is
// not ok if the recorded metrics are not those of a replica.
func (r *Result) ReplicaCost() (cpuSeconds float64, memoryBytes float64, ok bool) {
	t := r.best()
	if t == nil {
		return 0, 0, false
	}
	const cpu, memory = "process_cpu_seconds_total", "process_resident_memory_bytes"
	var first, last *result.Sample
	for i := range t.Summary.Server {
		s := &t.Summary.Server[i]
		if !ofReplica(s.Metrics) {
			continue
		}
		if first == nil {
			first = s
		}
		last = s
		memoryBytes = max(memoryBytes, s.Metrics[memory])
	}
	if first == nil || last == first {
		return 0, 0, false
	}
	answered := t.Summary.Between(int(first.At/time.Second), int(last.At/time.Second)).Answered
	if answered == 0 {
		return 0, 0, false
	}
	return (last.Metrics[cpu] - first.Metrics[cpu]) / float64(answered), memoryBytes, true
}

func ofReplica(metrics map[string]float64) bool {
	for name := range metrics {
		if strings.HasPrefix(name, "resnet18_replica_") {
			return true
		}
	}
	return false
}

// Limit returns the limit of the first condition on a percentile of the total latency, and the share of requests that
// may take longer. A capacity plan keeps to it.
func (r *Result) Limit() (limit time.Duration, share float64, ok bool) {
	if len(r.Trials) == 0 {
		return 0, 0, false
	}
	for _, v := range r.Trials[0].Verdicts {
		if limit, share, ok := v.Condition.TailLimit(); ok {
			return limit, share, true
		}
	}
	return 0, 0, false
}
