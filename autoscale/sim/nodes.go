package sim

import "time"

// nodes are the machines that replicas run on.
type nodes struct {
	ready []nanos // when each one is or was ready, in the order in which they were requested
	spare nanos   // since when the last one has not been needed
}

// removeNodeAfter is how long a node without replicas is kept, as by the cluster autoscaler of Kubernetes.
const removeNodeAfter = nanos(10 * time.Minute)

// update requests nodes for so many replicas, and removes the last one if it has been empty for long.
func (n *nodes) update(now nanos, cfg Config, replicas int) {
	if cfg.PerNode == 0 {
		return
	}
	need := (replicas + cfg.PerNode - 1) / cfg.PerNode
	if len(n.ready) == 0 { // those of the initial replicas exist, with one to spare
		n.ready = make([]nanos, need+1)
	}
	for len(n.ready) < need {
		n.ready = append(n.ready, now+nanos(cfg.NodeDelay))
	}
	switch {
	case len(n.ready) == need:
		n.spare = now
	case now-n.spare > removeNodeAfter:
		n.ready, n.spare = n.ready[:len(n.ready)-1], now
	}
}

// free is when there is room for one more than so many replicas.
func (n *nodes) free(now nanos, cfg Config, replicas int) nanos {
	if cfg.PerNode == 0 {
		return now
	}
	return max(now, n.ready[min(replicas/cfg.PerNode, len(n.ready)-1)])
}
