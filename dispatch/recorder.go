package dispatch

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

// recorder is the only place where requests are counted, for /status and for metrics. Over all dispatchers that share a
// queue, since its start, and when all doubts are settled:
//
//	accepted = completed + failed + cancelled + unfinished
//
// A request is accepted when its record exists, and once more each time it is started again.
type recorder struct {
	stats   *stats
	metrics *metrics

	mu     sync.Mutex
	doubts map[string][]doubt // guarded by mu: by id
}

// doubt is a record whose write may or may not have succeeded: a request's start, or its end. It is counted when the
// present record shows that the write succeeded.
type doubt struct {
	record    store.Record
	takenBack string // the start was taken back if the present record has this mark; empty: it was not
}

// maxDoubts bounds the memory for doubts. Beyond them counts may be off.
const maxDoubts = 10_000

func newRecorder(now time.Time) *recorder {
	return &recorder{stats: newStats(now), doubts: map[string][]doubt{}}
}

// accepted counts a request that was accepted, with the number of jobs that wait.
func (c *recorder) accepted(r store.Record, waiting queue.Depth) {
	c.stats.accepted(r, waiting.Total())
	c.metrics.accepted.WithLabelValues(string(r.Priority)).Inc()
}

// refused counts a submission that was not accepted.
func (c *recorder) refused(err error) {
	e := resnet18cloud.AsError(err)
	if e.Code == resnet18cloud.CodeFull {
		c.stats.refused()
	}
	c.metrics.refused.WithLabelValues(string(e.Code)).Inc()
}

// ended counts a request that has ended.
func (c *recorder) ended(r store.Record) {
	c.stats.ended(r)
	c.metrics.ended(r)
}

// retried counts a job that goes back to the queue because replicas failed it or had no room.
func (c *recorder) retried() { c.metrics.retries.Inc() }

// attempted counts an image sent to a replica.
func (c *recorder) attempted(outcome string) { c.metrics.attempts.WithLabelValues(outcome).Inc() }

// answered counts a replica's answer, after so much time.
func (c *recorder) answered(r resnet18cloud.Result, took time.Duration) {
	c.stats.served(took)
	c.stats.answered(r, took)
}

// doubt notes that a record that starts or ends a request may or may not have been written.
func (c *recorder) doubt(r store.Record) { c.addDoubts(r.ID, doubt{record: r}) }

// doubtTakenBack notes that a restart may or may not have been taken back.
func (c *recorder) doubtTakenBack(restart, back store.Record) {
	c.addDoubts(restart.ID, doubt{record: restart, takenBack: markOf(back)})
}

func (c *recorder) addDoubts(id string, doubts ...doubt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(doubts) > 0 && len(c.doubts) < maxDoubts {
		c.doubts[id] = append(c.doubts[id], doubts...)
	}
}

// doubtful returns the ids of requests that are in doubt.
func (c *recorder) doubtful() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.doubts))
}

// takeDoubts removes and returns the doubts about a request. The caller then reads its record, and settles them or adds
// them again.
func (c *recorder) takeDoubts(id string) []doubt {
	c.mu.Lock()
	defer c.mu.Unlock()
	doubts := c.doubts[id]
	delete(c.doubts, id)
	return doubts
}

// settle counts what the present record shows to have happened.
func (c *recorder) settle(doubts []doubt, present store.Record, waiting queue.Depth) {
	for _, d := range doubts {
		switch {
		case !hasMark(present, markOf(d.record)) || hasMark(present, d.takenBack):
		case d.record.Status.Final():
			c.ended(d.record)
		default:
			c.accepted(d.record, waiting)
		}
	}
}
