package dispatch

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

// This file serves the states of requests as server-sent events (WHATWG HTML, section 9.2). A stream knows nothing that
// its URL and Last-Event-ID do not say, so a client may continue it at any dispatcher, and after a restart.
//
// See docs/decisions/0125-streams-of-records.md.

// Limits on streams.
const (
	maxWatches         = 200 // streams at a time
	maxWatchesOfClient = 50  // of one client
	watchRetry         = time.Second
	watchHeartbeat     = 15 * time.Second
	// startsInterval is how often streams look for requests whose processing has begun.
	startsInterval = 500 * time.Millisecond
)

// watches counts the streams. The zero value is ready to use.
type watches struct {
	starts starts

	mu  sync.Mutex
	all int            // guarded by mu
	of  map[string]int // guarded by mu: by client
}

// join adds a stream of a client. The caller calls leave at its end. ok is false if there are too many.
func (s *watches) join(client string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxWatches || s.of[client] >= maxWatchesOfClient {
		return nil, false
	}
	if s.of == nil {
		s.of = map[string]int{}
	}
	s.all++
	s.of[client]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.of[client]--; s.of[client] == 0 {
			delete(s.of, client)
		}
	}, true
}

// starts has the requests that are being processed. Streams share it, because it is found by listing all requests that have
// not ended. The zero value is ready to use.
type starts struct {
	mu    sync.Mutex
	begun map[string]store.Record // guarded by mu: by ID; never modified
	asOf  time.Time               // guarded by mu: of begun
}

// get returns the records of requests that are being processed, by ID. The map must not be modified.
func (s *starts) get(ctx context.Context, from store.Store, now time.Time) map[string]store.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.asOf) < startsInterval {
		return s.begun
	}
	s.asOf = now // also after an error: streams wait for each other here, so one look must be enough for all
	unfinished, err := from.Unfinished(ctx)
	if err != nil { // the next look may succeed; results do not depend on it
		return s.begun
	}
	s.begun = map[string]store.Record{}
	for _, r := range unfinished {
		if r.Status == resnet18cloud.StatusProcessing {
			s.begun[r.ID] = r
		}
	}
	return s.begun
}

// seen are the requests of a stream whose ends the client has received: one bit for each, in their order. It is the ID of
// events.
type seen []byte

// parseSeen reads the ID of the last event that a client of n requests received. Anything else means none.
func parseSeen(text string, n int) seen {
	s := make(seen, (n+7)/8)
	if read, err := hex.DecodeString(text); err == nil && len(read) == len(s) {
		copy(s, read)
	}
	return s
}

func (s seen) has(i int) bool { return s[i/8]&(1<<(i%8)) != 0 }
func (s seen) add(i int)      { s[i/8] |= 1 << (i % 8) }

// all reports whether the client has received the ends of all n requests.
func (s seen) all(n int) bool {
	for i := range n {
		if !s.has(i) {
			return false
		}
	}
	return true
}

// resultEvents follows one request: GET /result/{id}/events.
func (d *Dispatcher) resultEvents(w http.ResponseWriter, r *http.Request) error {
	id, ok := resnet18cloud.ParseID(r.PathValue("id"))
	if !ok {
		return d.notFound()
	}
	if err := httpx.CheckQuery(r); err != nil {
		return err
	}
	httpx.SetRequestID(w, r, id)
	return d.watch(w, r, []string{id})
}

// resultsEvents follows several requests, such as those of a batch: GET /results/events?ids=ID,ID.
func (d *Dispatcher) resultsEvents(w http.ResponseWriter, r *http.Request) error {
	if err := httpx.CheckQuery(r, "ids"); err != nil {
		return err
	}
	hint := fmt.Sprintf("use ?ids= with up to %d request ids, separated by commas", d.cfg.MaxBatch)
	text := r.URL.Query().Get("ids")
	if strings.Count(text, ",") >= d.cfg.MaxBatch {
		return errInvalid("Too many request ids", hint)
	}
	var ids []string
	for _, part := range strings.Split(text, ",") {
		id, ok := resnet18cloud.ParseID(part)
		if !ok {
			return errInvalid("ids is not a list of request ids", hint)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return d.watch(w, r, ids)
}

// eventsURL returns the path of a stream of several requests, as the client of the context sees it.
func eventsURL(ctx context.Context, ids []string) string {
	return httpx.PrefixOf(ctx) + "/results/events?ids=" + strings.Join(ids, ",")
}

// watch sends the states of requests until all have ended, or until the dispatcher stops or needs the connection: a client
// then comes back with the ID of the last event.
func (d *Dispatcher) watch(w http.ResponseWriter, r *http.Request, ids []string) error {
	ended := parseSeen(r.Header.Get("Last-Event-ID"), len(ids))
	if ended.all(len(ids)) {
		w.WriteHeader(http.StatusNoContent) // an EventSource then stops (WHATWG HTML, section 9.2.3)
		return nil
	}
	leave, ok := d.watches.join(d.clientOf(r).name)
	if !ok {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Too many streams of events",
			Hint: fmt.Sprintf("the limits are %d of a client and %d of all; close some, follow several requests in one, or use GET /result/{id}?wait=20s", maxWatchesOfClient, maxWatches), RetryAfter: 5 * time.Second}
	}
	defer leave()
	s := watch{d: d, r: r, ids: ids, ended: ended, states: make([]resnet18cloud.Status, len(ids)),
		out: eventWriter{w, http.NewResponseController(w)}}
	first, err := s.firstStates()
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx would collect events
	if s.out.write(fmt.Sprintf("retry: %d\n\n", watchRetry.Milliseconds())) == nil && s.send(first...) == nil {
		s.follow()
	}
	return nil
}

// watch is one stream.
type watch struct {
	d      *Dispatcher
	r      *http.Request
	ids    []string
	ended  seen                   // requests whose ends were sent
	states []resnet18cloud.Status // as last sent
	out    eventWriter
}

// state is what is known of a request.
type state struct {
	index  int
	record store.Record
	err    error // the request does not exist, or its record could not be read
}

// firstStates returns the states of the requests whose ends the client has not received. It is an error if the only one
// does not exist, or if the store cannot be read.
func (s *watch) firstStates() ([]state, error) {
	var states []state
	for i, id := range s.ids {
		if s.ended.has(i) {
			continue
		}
		record, err := s.d.lookup(s.r.Context(), id)
		if err != nil && (len(s.ids) == 1 || !isNotFound(err)) {
			return nil, err
		}
		states = append(states, state{i, record, err})
	}
	return states, nil
}

// missingBody says that a request does not exist.
type missingBody struct {
	httpx.ErrorBody
	RequestID string `json:"request_id"`
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*resnet18cloud.Error](err)
	return ok && e.Code == resnet18cloud.CodeNotFound
}

// send sends the states as events: "progress" of requests that have not ended, "result" of those that have, "missing" of
// those that do not exist, and "end" after the last one. The error means that the client is gone.
func (s *watch) send(states ...state) error {
	for _, st := range states {
		var body any
		name := "progress"
		switch {
		case st.err != nil:
			e := resnet18cloud.AsError(st.err)
			name, body = "missing", missingBody{httpx.ErrorBody{Error: e.Message, Hint: e.Hint, Code: e.Code}, s.ids[st.index]}
			s.ended.add(st.index)
		case st.record.Status.Final():
			name = "result"
			s.ended.add(st.index)
			fallthrough
		default:
			body = newResultBody(s.d.shown(s.d.caller(s.r.Context()), st.record))
			s.states[st.index] = st.record.Status
		}
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("write event of %s: %w", s.ids[st.index], err)
		}
		if err := s.out.sendID(name, hex.EncodeToString(s.ended), data); err != nil {
			return err
		}
	}
	if s.ended.all(len(s.ids)) {
		return s.out.sendID("end", hex.EncodeToString(s.ended), fmt.Appendf(nil, `{"total":%d}`, len(s.ids)))
	}
	return nil
}

// follow sends changes until all requests have ended or the stream has to end.
func (s *watch) follow() {
	ctx, cancel := context.WithCancel(s.r.Context())
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	defer context.AfterFunc(s.d.stopping, cancel)()
	changes := make(chan state, len(s.ids)) // has room for all, so that nobody waits for this stream
	for i, id := range s.ids {
		if !s.ended.has(i) {
			waiting.Go(func() {
				record, err := s.d.store.Wait(ctx, id)
				changes <- state{i, record, err}
			})
		}
	}
	look := time.NewTicker(startsInterval)
	defer look.Stop()
	heartbeat := time.NewTicker(watchHeartbeat)
	defer heartbeat.Stop()
	for !s.ended.all(len(s.ids)) {
		yielding, done := httpx.Yielding(ctx)
		var err error
		select {
		case <-yielding.Done():
			err = yielding.Err()
		case change := <-changes:
			err = s.change(ctx, change)
		case now := <-look.C:
			err = s.send(s.starts(ctx, now)...)
		case <-heartbeat.C:
			err = s.out.write(":\n\n")
		}
		done()
		if err != nil {
			return
		}
	}
}

// change sends the end of a request. A record that vanished may be one that was lost, which ends the request.
func (s *watch) change(ctx context.Context, c state) error {
	if errors.Is(c.err, store.ErrNotFound) {
		c.record, c.err = s.d.lookup(ctx, s.ids[c.index])
	}
	switch {
	case c.err != nil && !isNotFound(c.err):
		return c.err // the client comes back
	case c.err == nil && !c.record.Status.Final():
		return errors.New("the stream is ending")
	}
	return s.send(c)
}

// starts returns the requests whose processing has begun since their last event.
func (s *watch) starts(ctx context.Context, now time.Time) []state {
	var changed []state
	begun := s.d.watches.starts.get(ctx, s.d.store, now)
	for i, id := range s.ids {
		if r, ok := begun[id]; ok && s.states[i] == resnet18cloud.StatusQueued {
			changed = append(changed, state{index: i, record: r})
		}
	}
	return changed
}
