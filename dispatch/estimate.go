package dispatch

import "time"

// This file predicts by Little's law: slots that each hold an image for the time service finish slots/service images a
// second. Four slots of 200 ms finish 20 images a second.

// estimatedWait predicts the time to the result of a request that arrives now, behind waiting jobs in the queue and
// working ones at replicas. A place behind n others that do not fit into the slots is reached after n*service/slots, and
// the own image takes service more: with 4 slots of 200 ms, 4 working and 10 waiting it is 11*50+200 = 750 ms. Zero means
// unknown: there is no replica, or none has answered yet.
func estimatedWait(service time.Duration, waiting, working, slots int) time.Duration {
	if slots == 0 {
		return 0
	}
	ahead := max(0, waiting+working+1-slots)
	return service + time.Duration(ahead)*service/time.Duration(slots)
}

// leastRetryAfter is what a client that was refused waits at least.
const leastRetryAfter = time.Second

// retryAfterFull tells a client that was refused when to come back: when a quarter of the queue has cleared, so that
// those refused now do not all meet a full queue again. A queue of 200 at 20 images a second gives 50/20 = 2.5 s.
func retryAfterFull(capacity int, service time.Duration, slots int) time.Duration {
	if slots == 0 {
		return leastRetryAfter
	}
	quarter := time.Duration((capacity + 3) / 4)
	return max(leastRetryAfter, quarter*service/time.Duration(slots))
}

// estimate predicts the time to the result of a request that arrives now.
func (d *Dispatcher) estimate() time.Duration {
	slots, _ := d.backend.Slots()
	return estimatedWait(d.recorder.stats.serviceTime(), d.queue.Waiting().Total(), d.inFlight.size(), slots)
}

// retryAfter tells a client that was refused when to come back.
func (d *Dispatcher) retryAfter() time.Duration {
	slots, _ := d.backend.Slots()
	return retryAfterFull(d.cfg.QueueCapacity, d.recorder.stats.serviceTime(), slots)
}
