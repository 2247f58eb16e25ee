package jsqueue

import "time"

// stale reports whether a job received at the time taken is too old to be returned by Next. Half of ackWait must be
// left for the first heartbeat: with an ackWait of 10 s, a job received 5 s ago is stale. The server may have
// delivered it to another process already, or is about to.
func stale(taken, now time.Time, ackWait time.Duration) bool { return now.Sub(taken) >= ackWait/2 }
