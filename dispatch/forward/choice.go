package forward

// load is the utilization of an endpoint.
type load struct {
	inFlight int    // images in flight from this pool
	slots    int    // images it accepts at a time
	picked   uint64 // number of the pool's last pick that chose it; 0 before the first
}

// hasRoom reports whether the endpoint has a free slot.
func (l load) hasRoom() bool { return l.inFlight < l.slots }

// before reports whether the next image goes to l rather than to o: the endpoint with the smaller share of its slots
// in use, or, if equal, the one that was picked less recently. An endpoint with 1 of 4 in use comes before one with 1
// of 2.
func (l load) before(o load) bool {
	// l.inFlight/l.slots < o.inFlight/o.slots, without division
	if a, b := l.inFlight*o.slots, o.inFlight*l.slots; a != b {
		return a < b
	}
	return l.picked < o.picked
}
