package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// This file sends webhooks about whole batches. A batch has no record: each of its requests names the first one, whose record
// has the state of the message.
//
// See docs/decisions/0133-a-batch-is-named-by-its-first-request.md.

// maxBatchMessage is the size of a message above which it has no results. A hundred images with five classes take 100 kB.
const maxBatchMessage = 4 << 20

// errStore is a failure to read what a message is about.
var errStore = errors.New("store does not respond")

// batch is a batch whose message waits for the end of its requests.
type batch struct {
	members   []string
	receiving int  // forms that are being read
	awaited   bool // somebody waits for its members
}

// begins reports whether a request is the first of a batch whose message has not been sent.
func begins(r store.Record) bool {
	return r.Webhook != nil && r.Webhook.Batch == r.ID && r.Webhook.State == ""
}

// receive notes that a form is being read whose images belong to a batch. follow must be called at its end.
func (s *hooks) receive(first string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batches[first] == nil {
		s.batches[first] = &batch{}
	}
	s.batches[first].receiving++
}

// follow has the message about a batch sent when all its members have ended. A batch that is sent again with its idempotency key
// may add members.
func (s *hooks) follow(first string, members []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches[first]
	b.receiving--
	for _, id := range members {
		if !slices.Contains(b.members, id) {
			b.members = append(b.members, id)
		}
	}
	if b.awaited || b.receiving > 0 {
		return
	}
	b.awaited = true
	s.begun = append(s.begun, first)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// follows reports whether this dispatcher will send the message about a batch.
func (s *hooks) follows(first string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches[first] != nil
}

// takeBegun returns the batches that somebody must wait for now.
func (s *hooks) takeBegun() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	begun := s.begun
	s.begun = nil
	return begun
}

// await waits until all requests of a batch have ended, and sends its message. If it is cut off, the sweep after a restart or of
// another dispatcher does.
func (s *hooks) await(ctx context.Context, first string) {
	for i := 0; ; i++ {
		id, ok := s.member(first, i)
		if ok && s.awaitEnd(ctx, id) {
			continue
		}
		if ok {
			return
		}
		if members, over := s.leave(first, i); over {
			if r, err := s.d.store.Get(ctx, first); err == nil && pending(r) {
				h := hookOf(r, time.Now())
				h.members = members
				s.add(h)
			}
			return
		} else if members == nil {
			return
		}
	}
}

// member returns a member of a batch.
func (s *hooks) member(first string, i int) (id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if members := s.batches[first].members; i < len(members) {
		return members[i], true
	}
	return "", false
}

// leave ends the wait for a batch after n of its members. It returns these if no more can come, and nothing if a form is being
// read: its end begins another wait.
func (s *hooks) leave(first string, n int) (members []string, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches[first]
	switch {
	case b.receiving > 0:
		b.awaited = false
		return nil, false
	case len(b.members) > n:
		return b.members, false
	}
	delete(s.batches, first)
	return b.members, true
}

// awaitEnd waits until a request has ended or is gone. It returns false if ctx ends first.
func (s *hooks) awaitEnd(ctx context.Context, id string) bool {
	for ctx.Err() == nil {
		r, err := s.d.store.Wait(ctx, id)
		switch {
		case err == nil && r.Status.Final(), errors.Is(err, store.ErrNotFound):
			return true
		case err != nil:
			pause.For(ctx, 5*time.Second)
		}
	}
	return false
}

// batchMessageBody is the message about a batch.
type batchMessageBody struct {
	BatchID   string       `json:"batch_id"`
	Total     int          `json:"total"`
	Completed int          `json:"completed"`
	Failed    int          `json:"failed"`
	Cancelled int          `json:"cancelled"`
	Missing   int          `json:"missing"` // requests whose results are no longer stored
	Items     []resultBody `json:"items"`   // as of GET /result/{id}
	// Cut means that items have no results, which would be too large: GET /result/{id} has them.
	Cut bool `json:"cut,omitempty"`
}

// batchMessage returns the message about a batch whose first request is r.
func (s *hooks) batchMessage(ctx context.Context, h hook, r store.Record) ([]byte, error) {
	m := batchMessageBody{BatchID: r.ID, Total: len(h.members), Items: []resultBody{}}
	size := 0
	for _, id := range h.members {
		one, err := s.d.store.Get(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			m.Missing++
			continue
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errStore, err)
		case one.Status == resnet18cloud.StatusCompleted:
			m.Completed++
		case one.Status == resnet18cloud.StatusCancelled:
			m.Cancelled++
		default:
			m.Failed++
		}
		one.Webhook = nil // it is this message
		body := newResultBody(s.d.shown(access.Client{Name: r.Owner}, one))
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		if size += len(text); size > maxBatchMessage && !m.Cut {
			m.Cut = true
			for i := range m.Items {
				m.Items[i].Result = nil
			}
		}
		if m.Cut {
			body.Result = nil
		}
		m.Items = append(m.Items, body)
	}
	return json.Marshal(m)
}

// batchRecords are the records of batches, by the IDs of their first requests.
type batchRecords map[string]*batchRecord

// batchRecord has the records of one batch.
type batchRecord struct{ members []store.Record }

// batchesOf finds the batches among records, which are in the order of their last change.
func batchesOf(records []store.Record) batchRecords {
	all := batchRecords{}
	for _, r := range records {
		if r.Webhook == nil || r.Webhook.Batch == "" {
			continue
		}
		b := all[r.Webhook.Batch]
		if b == nil {
			b = &batchRecord{}
			all[r.Webhook.Batch] = b
		}
		b.members = append(b.members, r)
	}
	for _, b := range all {
		slices.SortFunc(b.members, func(x, y store.Record) int { return cmp.Or(x.QueuedAt.Compare(y.QueuedAt), cmp.Compare(x.ID, y.ID)) })
	}
	return all
}

// ids returns the members of a batch in the order in which they were sent, which the IDs of those without an idempotency key have. It returns nil for no batch.
func (b *batchRecord) ids() (ids []string) {
	if b == nil {
		return nil
	}
	for _, r := range b.members {
		ids = append(ids, r.ID)
	}
	return ids
}

// otherClaim is how long a batch must have ended before another dispatcher than the one that received it sends its message.
const otherClaim = 10 * time.Minute

// open reports whether the message about a batch is not due, of which r is the first request: this dispatcher waits for its
// requests, or another one may. After a restart of the only dispatcher it begins to wait.
func (s *hooks) open(all batchRecords, r store.Record, now time.Time, own bool) bool {
	b := all[r.ID]
	if b == nil || !begins(r) {
		return false
	}
	if s.follows(r.ID) {
		return true
	}
	var last time.Time
	for _, one := range b.members {
		if !one.Status.Final() {
			if own {
				s.receive(r.ID)
				s.follow(r.ID, b.ids())
			}
			return true
		}
		if one.CompletedAt.After(last) {
			last = one.CompletedAt
		}
	}
	return !own && now.Before(last.Add(otherClaim))
}
