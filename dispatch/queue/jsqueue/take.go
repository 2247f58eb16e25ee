package jsqueue

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// pull requests one job at a time and offers it to Next, until ctx ends.
func (q *Queue) pull(ctx context.Context, l *lane) {
	var p *puller
	defer func() {
		if p != nil {
			p.close()
		}
	}()
	// Requests outlive ctx by up to PullWait: a job sent in response to an abandoned request would be unavailable for
	// AckWait.
	for ctx.Err() == nil {
		if !q.await(ctx, l) {
			return
		}
		if conn := q.conn.JetStream().Conn(); p == nil || p.conn != conn {
			if p != nil {
				p.close()
			}
			var err error
			if p, err = newPuller(conn, q.streamName(), className(l.class), q.cfg.PullWait); err != nil {
				p = nil
				pause.For(ctx, 100*time.Millisecond)
				continue
			}
		}
		msg, err := p.next()
		if err != nil {
			if !errors.Is(err, nats.ErrTimeout) {
				q.restore(ctx, l, err)
			}
			continue
		}
		d, err := newDelivery(msg, l.class)
		if err != nil {
			q.cfg.Log.WarnContext(ctx, "removed an invalid message from the queue", "error", err)
			_ = msg.Term()
			continue
		}
		q.offer(ctx, l, d)
	}
}

// await waits for a call of Next if other processes share the queue: a job that is held here is not available to
// them. It reports false if ctx has ended.
func (q *Queue) await(ctx context.Context, l *lane) bool {
	if q.cfg.Policy.Exclusive || l.class.Lane < int(q.choosing.Load()) {
		return true
	}
	select {
	case <-l.wanted:
		return true
	case <-ctx.Done():
		return false
	}
}

// restore waits until another request may succeed, and recreates a missing consumer.
func (q *Queue) restore(ctx context.Context, l *lane, err error) {
	if errors.Is(err, errNoAnswer) {
		making, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		err = q.ensureConsumer(making, l)
	}
	if err != nil {
		pause.For(ctx, 100*time.Millisecond) // the server is down
	}
}

// offer holds a job until Next takes it. If other processes share the queue, it returns the job after holdLimit.
func (q *Queue) offer(ctx context.Context, l *lane, d *delivery) {
	if d.first {
		l.held.Store(1)
		defer l.held.Store(0)
	}
	limit := holdLimit
	if q.cfg.Policy.Exclusive {
		limit = q.cfg.AckWait / 3
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	name := queue.DedupID(d.job)
	for {
		if l.removed.has(name) {
			_ = d.Ack(ctx) // it is not in the stream; this ends the delivery
			if d.first {
				l.add(-1)
			}
			return
		}
		select {
		case l.next <- d:
			return
		case l.any[0] <- d:
			return
		case l.any[1] <- d:
			return
		case l.any[2] <- d:
			return
		case <-ctx.Done():
			_ = d.Nak(context.WithoutCancel(ctx), 0)
			return
		case <-l.removed.changed:
			continue
		case <-timer.C:
		}
		if q.cfg.Policy.Exclusive {
			_ = d.InProgress(ctx) // if it is lost, Next sees that the job is stale
			d.taken = time.Now()
			timer.Reset(limit)
			continue
		}
		_ = d.Nak(ctx, 0)
		if d.first {
			l.add(-1)
		}
		return
	}
}

// chooser is what Next remembers between two calls.
type chooser struct {
	turns queue.Turns
	late  [queue.Classes]bool // by number of the class: its last job did not arrive within fetchTime
}

// fetchTime is how long Next waits for a job of the class whose turn it is, although a later class has one: after each
// job, a lane needs a moment to fetch the next one. Without this, the later classes would get more than their share. If
// other processes share the queue, they may have taken the job.
func (q *Queue) fetchTime() time.Duration {
	if q.cfg.Policy.Exclusive {
		return 100 * time.Millisecond
	}
	return 5 * time.Millisecond
}

// Next implements queue.Queue.
func (q *Queue) Next(ctx context.Context, lanes int) (queue.Delivery, error) {
	var chooser chooser
	select {
	case chooser = <-q.chooser:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	q.choosing.Store(int32(lanes))
	defer func() { q.choosing.Store(0); q.chooser <- chooser }()
	for i := range q.lanes {
		if q.lanes[i].class.Lane >= lanes {
			continue
		}
		select {
		case q.lanes[i].wanted <- struct{}{}:
		default:
		}
	}
	for {
		d, err := q.choose(ctx, &chooser, lanes)
		if err != nil {
			return nil, err
		}
		class := queue.ClassOf(d.job)
		chooser.late[class.Index()] = false
		if d.first {
			q.lane(d.job).add(-1)
		}
		if !stale(d.taken, time.Now(), q.cfg.AckWait) {
			chooser.turns.Took(class)
			if !d.first {
				q.cfg.Redelivered()
			}
			return d, nil
		}
		// This process was suspended. The server may have delivered the job to another process, or will do so.
		_ = d.Nak(ctx, 0)
	}
}

// choose waits for a job of the first lanes. If several lanes have one, it takes the one whose turn it is.
func (q *Queue) choose(ctx context.Context, c *chooser, lanes int) (*delivery, error) {
	for _, class := range c.turns.Order() {
		if class.Lane >= lanes {
			continue
		}
		l := &q.lanes[class.Index()]
		select {
		case d := <-l.next:
			return d, nil
		default:
		}
		if l.waiting.Load() <= 0 || c.late[class.Index()] {
			continue
		}
		select {
		case d := <-l.next:
			return d, nil
		case <-time.After(q.fetchTime()):
			c.late[class.Index()] = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	select {
	case d := <-q.any[lanes-1]:
		return d, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
