package forward

// load is how much of an endpoint's room is used.
type load struct {
	inFlight int    // images it has now from this pool
	slots    int    // images it takes at a time
	picked   uint64 // number of the pool's last pick that went to it; 0 before the first
}

// hasRoom reports whether the endpoint takes another image now.
func (l load) hasRoom() bool { return l.inFlight < l.slots }

// before reports whether the next image goes to l rather than to o: the one with the smaller share of its slots in
// use, and of two equals the one that was not picked for longer. An endpoint with 1 of 4 in use comes before one with
// 1 of 2.
func (l load) before(o load) bool {
	// l.inFlight/l.slots < o.inFlight/o.slots, without division
	if a, b := l.inFlight*o.slots, o.inFlight*l.slots; a != b {
		return a < b
	}
	return l.picked < o.picked
}
