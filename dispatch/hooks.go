package dispatch

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/webhook"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/internal/webhooksig"
)

// This file sends webhooks. What is to be sent, and when, is in the records of requests; memory has only a list of their IDs.
// So a webhook survives what its record survives, and is sent at least once.
//
// See docs/decisions/0125-streams-of-records.md.

// headerWebhook is the request header with the URL to send the outcome to.
const headerWebhook = "X-Webhook"

// Limits on the work for webhooks.
const (
	maxHooks        = 10_000 // that wait in memory; others are found by a sweep
	maxSending      = 32     // at a time
	maxSendingTo    = 4      // to one host, so that a slow one does not hold up others; clients share it
	hookClaim       = time.Minute
	hookSweep       = 5 * time.Minute
	maxSwept        = 20_000 // records that a sweep reads, most recently changed first
	hookStorePauses = 3      // attempts to write the outcome of an attempt
)

// hook is a webhook that waits for an attempt.
type hook struct {
	id         string
	generation int
	attempts   int      // made before
	members    []string // requests of the batch that the message is about; nil means that it is about one request
	hookLane
	due time.Time
}

// hookLane is what webhooks have in common that are sent in the order in which they are due.
type hookLane struct {
	owner string // name of the client; empty if clients have no keys
	host  string // see webhook.HostOf
}

// hookKey identifies a webhook: a request that is restarted ends again.
type hookKey struct {
	id         string
	generation int
}

func (h hook) key() hookKey { return hookKey{h.id, h.generation} }

// byDue is a heap of hooks, the one that is due first at the top.
type byDue []hook

func (h byDue) Len() int           { return len(h) }
func (h byDue) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h byDue) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byDue) Push(x any)        { *h = append(*h, x.(hook)) }
func (h *byDue) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// hooks sends the webhooks of this dispatcher. Create it with newHooks.
type hooks struct {
	d      *Dispatcher
	allow  webhook.Allow
	sender *webhook.Sender
	log    *slog.Logger
	wake   chan struct{} // receives a value when there is something to do

	mu        sync.Mutex
	waiting   map[hookLane]*byDue  // guarded by mu: never empty
	known     map[hookKey]struct{} // guarded by mu: those that wait or are being sent
	knownOf   map[string]int       // guarded by mu: their number, by owner
	sendingTo map[string]int       // guarded by mu: by host
	sendingOf map[string]int       // guarded by mu: by owner
	batches   map[string]*batch    // guarded by mu: those that have not ended, by their first request
	begun     []string             // guarded by mu: of these, those that nobody waits for yet
}

func newHooks(d *Dispatcher, allow webhook.Allow) *hooks {
	return &hooks{d: d, allow: allow, sender: webhook.NewSender(allow, "resnet18cloud/"+cmp.Or(d.cfg.Version, "dev")), log: d.cfg.Log,
		wake: make(chan struct{}, 1), waiting: map[hookLane]*byDue{}, known: map[hookKey]struct{}{}, knownOf: map[string]int{},
		sendingTo: map[string]int{}, sendingOf: map[string]int{}, batches: map[string]*batch{}}
}

// check returns the error for a client that asks for a webhook.
func (s *hooks) check(text string) error {
	if !s.allow.Any() {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeForbidden, Message: "Webhooks are not allowed here", Hint: "the server's operator allows hosts with --webhook-allow"}
	}
	switch err := s.allow.Check(text); {
	case errors.Is(err, webhook.ErrHost):
		return &resnet18cloud.Error{Code: resnet18cloud.CodeForbidden, Message: "Webhooks may not go to this host", Hint: "the server's operator allows hosts with --webhook-allow; http:// and ports are allowed apart"}
	case err != nil:
		return errInvalid(headerWebhook+" is not a URL for webhooks", "use https://HOST/PATH in ASCII, without user and fragment, of at most 2048 bytes")
	}
	return nil
}

// hookSecret returns the secret with which webhooks of a client are signed; the name is empty if clients have no keys.
func (d *Dispatcher) hookSecret(owner string) webhooksig.Secret {
	return keyedHash(d.store.Secret(), "webhook", owner)
}

// webhookSecret tells a client the secret of its webhooks: GET /webhook-secret.
func (d *Dispatcher) webhookSecret(w http.ResponseWriter, r *http.Request) error {
	owner := ""
	if c, ok := access.FromContext(r.Context()); ok {
		owner = c.Name
	}
	w.Header().Set("Cache-Control", "no-store")
	httpx.WriteJSON(w, http.StatusOK, struct {
		Secret string `json:"secret"`
	}{d.hookSecret(owner).String()})
	return nil
}

// ended notes that a request has ended, and sends its webhook if it has one.
func (s *hooks) ended(r store.Record) {
	if r.Webhook != nil && r.Webhook.Batch == "" && s.allow.Any() {
		s.add(hookOf(r, time.Now()))
	}
}

func hookOf(r store.Record, due time.Time) hook {
	return hook{id: r.ID, generation: r.Generation, attempts: r.Webhook.Attempts, due: due,
		hookLane: hookLane{owner: r.Owner, host: webhook.HostOf(r.Webhook.URL)}}
}

// add puts a webhook in the list, unless it is there. If the list is full, the client with most in it loses one, unless that
// is the webhook's own: a sweep finds what the list has no room for.
func (s *hooks) add(h hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[h.key()]; ok {
		return
	}
	if len(s.known) >= maxHooks {
		most, ok := s.displaced(h.owner)
		if !ok {
			return
		}
		s.drop(most)
	}
	s.known[h.key()] = struct{}{}
	s.knownOf[h.owner]++
	s.push(h)
}

// hasRoom reports whether the list takes another webhook of a client.
func (s *hooks) hasRoom(owner string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.displaced(owner)
	return ok || len(s.known) < maxHooks
}

// displaced returns the client that has most webhooks in the list, if one of them makes room for one of owner's. The caller
// holds mu.
func (s *hooks) displaced(owner string) (most string, ok bool) {
	for name, n := range s.knownOf {
		if n > s.knownOf[most] {
			most = name
		}
	}
	return most, s.knownOf[most] > s.knownOf[owner]+maxSending // so many of its webhooks may be on their way
}

// drop removes one of a client's webhooks from the longest of its lanes, not the one that is due first unless it is alone.
// The caller holds mu.
func (s *hooks) drop(owner string) {
	var longest hookLane
	n := 0
	for l, list := range s.waiting {
		if l.owner == owner && list.Len() > n {
			longest, n = l, list.Len()
		}
	}
	if n == 0 {
		return
	}
	list := s.waiting[longest]
	s.forget(list.Pop().(hook)) // the last leaf, so that what is left is a heap
	if list.Len() == 0 {
		delete(s.waiting, longest)
	}
}

// forget removes a webhook that neither waits nor is being sent. The caller holds mu.
func (s *hooks) forget(h hook) {
	delete(s.known, h.key())
	decrement(s.knownOf, h.owner)
}

// decrement counts down, and removes what is zero.
func decrement(counts map[string]int, name string) {
	if counts[name]--; counts[name] == 0 {
		delete(counts, name)
	}
}

// push adds to the heap of the webhook's lane. The caller holds mu.
func (s *hooks) push(h hook) {
	if s.waiting[h.hookLane] == nil {
		s.waiting[h.hookLane] = &byDue{}
	}
	heap.Push(s.waiting[h.hookLane], h)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// next takes a webhook that is due from the list: one of the client with fewest on their way, so that nobody's slow receiver
// or flood holds up others, and of its webhooks the one that is due first. If there is none, it returns how long there will be
// none, unless wake says otherwise.
func (s *hooks) next(now time.Time) (h hook, ok bool, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, n := range s.sendingTo {
		total += n
	}
	after = hookSweep
	if total >= maxSending {
		return h, false, after
	}
	var from *byDue
	for l, list := range s.waiting {
		if s.sendingTo[l.host] >= maxSendingTo {
			continue
		}
		first := (*list)[0]
		if first.due.After(now) {
			after = min(after, first.due.Sub(now))
			continue
		}
		if from == nil || cmp.Or(cmp.Compare(s.sendingOf[l.owner], s.sendingOf[h.owner]), first.due.Compare(h.due)) < 0 {
			from, h = list, first
		}
	}
	if from == nil {
		return h, false, after
	}
	heap.Pop(from)
	if from.Len() == 0 {
		delete(s.waiting, h.hookLane)
	}
	s.sendingTo[h.host]++
	s.sendingOf[h.owner]++
	return h, true, 0
}

// sent notes that an attempt is over. If there is to be another one, h is the webhook with its time.
func (s *hooks) sent(h hook, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	decrement(s.sendingTo, h.host)
	decrement(s.sendingOf, h.owner)
	if again {
		s.push(h)
		return
	}
	s.forget(h)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run sends webhooks until ctx ends. Those that were not sent are sent after the next start.
func (s *hooks) run(ctx context.Context) {
	if !s.allow.Any() {
		return
	}
	var attempts sync.WaitGroup
	defer s.sender.Close()
	defer attempts.Wait()
	attempts.Go(func() { s.sweepLoop(ctx) })
	for ctx.Err() == nil {
		for _, id := range s.takeBegun() {
			attempts.Go(func() { s.await(ctx, id) })
		}
		h, ok, after := s.next(time.Now())
		if ok {
			attempts.Go(func() { s.sent(s.attempt(ctx, h)) })
			continue
		}
		timer := time.NewTimer(after)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// attempt sends a webhook once and writes the outcome. It returns the webhook with the time of its next attempt, if there is
// to be one.
func (s *hooks) attempt(ctx context.Context, h hook) (next hook, again bool) {
	r, err := s.d.store.Get(ctx, h.id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return h, false
	case err != nil:
		h.due = time.Now().Add(5 * time.Second)
		return h, ctx.Err() == nil
	case !pending(r) || r.Generation != h.generation || r.Webhook.Attempts != h.attempts: // another dispatcher has sent it
		return h, false
	}
	body, err := s.message(ctx, h, r)
	if errors.Is(err, errStore) {
		h.due = time.Now().Add(5 * time.Second)
		return h, ctx.Err() == nil
	}
	if err != nil {
		s.log.ErrorContext(ctx, "cannot write a webhook", "request_id", r.ID, "error", err)
		return h, false
	}
	outcome := webhook.Outcome{Problem: "not an allowed host"} // the operator may have changed the list
	if s.allow.Check(r.Webhook.URL) == nil {
		outcome = s.sender.Send(ctx, r.Webhook.URL, s.d.hookSecret(r.Owner), hookID(r), body)
	}
	if ctx.Err() != nil && !outcome.Delivered {
		return h, false
	}
	due, again := s.settle(context.WithoutCancel(ctx), r, outcome)
	h.attempts, h.due = h.attempts+1, due
	return h, again
}

// message returns what is to be sent.
func (s *hooks) message(ctx context.Context, h hook, r store.Record) ([]byte, error) {
	if h.members != nil {
		return s.batchMessage(ctx, h, r)
	}
	return json.Marshal(newResultBody(s.d.shown(access.Client{Name: r.Owner}, r)))
}

// pending reports whether the webhook of a request that has ended is to be sent. That of a batch is in its first request.
func pending(r store.Record) bool {
	return r.Webhook != nil && r.Webhook.State == "" && r.Status.Final() && (r.Webhook.Batch == "" || r.Webhook.Batch == r.ID)
}

// hookID returns the ID of a message. A request that is restarted ends again, which is another message.
func hookID(r store.Record) string {
	id := r.ID
	if r.Webhook.Batch != "" {
		id = "batch-" + id
	}
	if r.Generation == 0 {
		return id
	}
	return fmt.Sprintf("%s-%d", id, r.Generation)
}

// settle writes the outcome of an attempt, and returns the time of the next one, if there is to be one.
func (s *hooks) settle(ctx context.Context, r store.Record, outcome webhook.Outcome) (due time.Time, again bool) {
	attempts := r.Webhook.Attempts
	for try := range hookStorePauses {
		r, due, again = attempted(r, outcome, time.Now())
		if try == 0 {
			s.report(ctx, r, outcome, again)
		}
		_, err := s.d.store.Update(ctx, r)
		if err == nil {
			return due, again
		}
		if errors.Is(err, store.ErrConflict) {
			present, err := s.d.store.Get(ctx, r.ID)
			if err != nil || !pending(present) || present.Generation != r.Generation || present.Webhook.Attempts != attempts {
				return due, false
			}
			r = present
			continue
		}
		r.Webhook.Attempts, r.Webhook.State = attempts, ""
		pause.For(ctx, time.Second)
	}
	return due, false // the sweep sends it again
}

// attempted returns the record after an attempt, and the time of the next one, if there is to be one.
func attempted(r store.Record, outcome webhook.Outcome, now time.Time) (after store.Record, due time.Time, again bool) {
	h := *r.Webhook
	r.Webhook = &h
	h.Attempts++
	h.Problem, h.Next = outcome.Problem, time.Time{}
	wait, again := webhook.Next(h.Attempts)
	switch {
	case outcome.Delivered:
		h.State, again = store.WebhookDelivered, false
	case outcome.Gone || !again:
		h.State, again = store.WebhookFailed, false
	default:
		due = now.Add(wait)
		h.Next = due.Add(hookClaim)
	}
	return r, due, again
}

// report counts and logs the outcome of an attempt.
func (s *hooks) report(ctx context.Context, r store.Record, outcome webhook.Outcome, again bool) {
	result := "delivered"
	switch {
	case again:
		result = "retried"
	case !outcome.Delivered:
		result = "failed"
		s.log.WarnContext(ctx, "webhook given up", "request_id", r.ID, "attempts", r.Webhook.Attempts, "problem", outcome.Problem)
	}
	s.d.recorder.metrics.webhooks.WithLabelValues(result).Inc()
}

// sweepLoop looks for webhooks of dispatchers that have ended, and for those that the list had no room for.
func (s *hooks) sweepLoop(ctx context.Context) {
	own := s.d.limits.heartbeatTimeout == 0 // no other dispatcher may be about to send them
	ticker := time.NewTicker(hookSweep)
	defer ticker.Stop()
	for {
		if err := s.sweep(ctx, time.Now(), own); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "looking for webhooks failed", "error", err)
		}
		own = false
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sweep claims webhooks whose time has come and that nobody sends, or all if they must be this dispatcher's own.
func (s *hooks) sweep(ctx context.Context, now time.Time, own bool) error {
	records, err := s.d.store.Recent(ctx, maxSwept)
	if err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	batches := batchesOf(records)
	for _, r := range records {
		if s.open(batches, r, now, own) {
			continue
		}
		if !pending(r) || !own && now.Before(r.Webhook.Next) || s.has(hookKey{r.ID, r.Generation}) || !s.hasRoom(r.Owner) {
			continue
		}
		claimed := *r.Webhook
		claimed.Next = now.Add(hookClaim)
		r.Webhook = &claimed
		switch _, err := s.d.store.Update(ctx, r); {
		case errors.Is(err, store.ErrConflict): // another dispatcher was faster
		case err != nil:
			return fmt.Errorf("claim the webhook of %s: %w", r.ID, err)
		default:
			h := hookOf(r, now)
			h.members = batches[r.ID].ids()
			s.add(h)
		}
	}
	return nil
}

func (s *hooks) has(key hookKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.known[key]
	return ok
}
