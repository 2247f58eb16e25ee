package dispatch

import (
	"math"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// The estimates in this file follow from Little's law: slots that each hold an image for the time service finish
// slots/service images per second. Four slots of 200 ms finish 20 images per second.

// estimatedWait predicts the time until the result of a request that arrives now, with waiting jobs in the queue and
// working jobs at replicas. A position behind n jobs that do not fit into the slots is reached after n*service/slots,
// and the image itself takes service more: with 4 slots of 200 ms, 4 working and 10 waiting it is 11*50+200 = 750 ms.
// Zero means unknown: there is no replica, or none has responded yet.
func estimatedWait(service time.Duration, waiting, working, slots int) time.Duration {
	if slots == 0 {
		return 0
	}
	ahead := max(0, waiting+working+1-slots)
	return service + time.Duration(ahead)*service/time.Duration(slots)
}

// minRetryAfter is the shortest retry delay for a rejected client.
const minRetryAfter = time.Second

// retryAfterFull returns the retry delay for a client that found the queue full: the time in which a quarter of the
// queue clears, so that rejected clients do not all meet a full queue again. A queue of 200 at 20 images per second
// gives 50/20 = 2.5 s.
func retryAfterFull(capacity int, service time.Duration, slots int) time.Duration {
	if slots == 0 {
		return minRetryAfter
	}
	quarter := time.Duration((capacity + 3) / 4)
	return max(minRetryAfter, quarter*service/time.Duration(slots))
}

// estimate predicts the time until the result of a request that arrives now, behind all that waits.
func (d *Dispatcher) estimate() time.Duration { return d.estimateBehind(1) }

// estimateFor predicts the time until the result of a client's request that arrives now. Jobs of later lanes do not count.
func (d *Dispatcher) estimateFor(c client, p resnet18cloud.Priority) time.Duration {
	return d.estimateBehind(d.holdings.ahead(c, p, d.backend.Workers()))
}

// estimateBehind predicts the time until the result of a request that arrives now, behind a share of what waits.
func (d *Dispatcher) estimateBehind(share float64) time.Duration {
	slots, _ := d.backend.Slots()
	waiting := int(math.Ceil(share * float64(d.waiting().Total())))
	return estimatedWait(d.recorder.stats.serviceTime(), waiting, d.inFlight.size(), slots)
}

// retryAfter returns the retry delay for a client that found the queue full.
func (d *Dispatcher) retryAfter() time.Duration {
	slots, _ := d.backend.Slots()
	return retryAfterFull(d.cfg.QueueCapacity, d.recorder.stats.serviceTime(), slots)
}
