package local

// Replica describes one replica.
type Replica struct {
	URL   string
	PID   int // 0 while it is down
	Ready bool
}

// List describes the replicas, oldest first.
func (r *Replicas) List() []Replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Replica, 0, len(r.all))
	for _, one := range r.all {
		list = append(list, Replica{URL: one.url, PID: one.pid, Ready: one.ready})
	}
	return list
}
