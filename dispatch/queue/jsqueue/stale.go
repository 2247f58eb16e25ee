package jsqueue

import "time"

// stale reports whether a job that came at the time taken is too old to be handed to a taker. Half of ackWait must be
// left for the taker's first sign of life: with an ackWait of 10 s a job that came 5 s ago is stale. The server may
// have delivered it to another taker already, or will do so.
func stale(taken, now time.Time, ackWait time.Duration) bool { return now.Sub(taken) >= ackWait/2 }
