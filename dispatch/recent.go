package dispatch

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

const (
	defaultRecent = 100  // results in a list, unless the client sets a limit
	maxRecent     = 1000 // maximum number of results in a list

	// maxListsWritten limits the lists that are written concurrently. A list that a client does not read stays in the
	// buffers of its connection.
	maxListsWritten = 64
	// listTimeout limits one read from the store.
	listTimeout = 10 * time.Second
	// maxListPause is the longest time between two reads.
	maxListPause = 2 * time.Second
)

// recent serves GET /results. A list is large and costs the store much more than a single result. So only one list is
// read at a time, and requests that arrived before the read began share it, including the memory of its JSON.
type recent struct {
	// shown returns what of a record a client may see.
	shown func(access.Client, store.Record) store.Record
	turn  chan struct{} // holds a value while a list is read
	pause time.Time     // guarded by turn: earliest time of the next read

	mu      sync.Mutex
	next    map[kind]*reading          // guarded by mu: the next read for requests that arrive now
	written []*http.ResponseController // guarded by mu: lists being written, oldest first
}

// kind is a kind of list. There are only three, so that requests can share reads.
type kind struct {
	length int
	owned  bool // for clients that see only their own results: the list has those of all clients, and each gets its part
}

// kindFor returns the kind of list to read for n results. A client's own results may be few among those of others, so
// they are picked from the longest list.
func kindFor(c access.Client, n int) kind {
	switch {
	case !c.Admin():
		return kind{maxRecent, true}
	case n <= defaultRecent:
		return kind{defaultRecent, false}
	}
	return kind{maxRecent, false}
}

// reading is a list that is being read, or waits to be read.
type reading struct {
	done chan struct{} // closed when list and err are set
	list list
	err  error
}

func newRecent() *recent {
	return &recent{turn: make(chan struct{}, 1), next: map[kind]*reading{},
		shown: func(_ access.Client, r store.Record) store.Record { return r }}
}

// pauseAfter returns the time between the end of one read and the start of the next, so that reads take at most a
// tenth of the time. A list that took 20 ms is read at most every 200 ms.
func pauseAfter(took time.Duration) time.Duration { return min(9*took, maxListPause) }

// get returns a list of at least the n most recently changed results that the client may see, read after the call
// began. For a client without scope admin it has those of its results that are among the 1000 most recently changed of
// all clients.
func (l *recent) get(ctx context.Context, from store.Store, c access.Client, n int) (list, error) {
	k := kindFor(c, n)
	all, err := l.getKind(ctx, from, k)
	if k.owned && err == nil {
		return all.of(c.Name), nil
	}
	return all, err
}

// getKind returns a list that may be shared with other requests.
func (l *recent) getKind(ctx context.Context, from store.Store, k kind) (list, error) {
	next := l.join(k)
	select {
	case <-next.done:
		return next.list, next.err
	case <-ctx.Done():
		return list{}, ctx.Err()
	case l.turn <- struct{}{}:
	}
	defer func() { <-l.turn }()
	select {
	case <-next.done: // read by the previous holder of the turn
		return next.list, next.err
	case <-ctx.Done():
		return list{}, ctx.Err() // another waiter takes the turn
	case <-time.After(time.Until(l.pause)):
	}
	l.read(ctx, from, k, next)
	return next.list, next.err
}

// read performs the read that requests wait for. The caller has the turn.
func (l *recent) read(ctx context.Context, from store.Store, k kind, next *reading) {
	l.leave(k)
	defer close(next.done)
	start := time.Now()
	// Other requests wait for this read too, so it must not end with this client.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	defer cancel()
	next.list, next.err = l.readList(ctx, from, k)
	l.pause = time.Now().Add(pauseAfter(time.Since(start)))
}

// join returns the next read of that kind.
func (l *recent) join(k kind) *reading {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next[k] == nil {
		l.next[k] = &reading{done: make(chan struct{})}
	}
	return l.next[k]
}

// leave starts the next read of that kind: later requests need another one.
func (l *recent) leave(k kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.next, k)
}

// list is the most recently changed results. It is shared and must not be modified.
type list struct {
	total int
	items []listed
}

// listed is one result in a list.
type listed struct {
	owner string
	json  []byte // followed by a comma, which write leaves out after the last result
}

func (l *recent) readList(ctx context.Context, s store.Store, k kind) (list, error) {
	records, err := s.Recent(ctx, k.length)
	if err != nil {
		return list{}, errUnreachable("Results are", err)
	}
	read := list{items: make([]listed, 0, len(records))}
	if read.total, err = s.Count(ctx); err != nil {
		return list{}, errUnreachable("Results are", err)
	}
	reader := access.Client{Scopes: access.Admin}
	if k.owned {
		reader.Scopes = access.Predict
	}
	for _, record := range records {
		item, err := json.Marshal(newResultBody(l.shown(reader, record)))
		if err != nil {
			return list{}, fmt.Errorf("write result %s: %w", record.ID, err)
		}
		read.items = append(read.items, listed{record.Owner, append(item, ',')})
	}
	return read, nil
}

// of returns the results of one client. It shares their memory.
func (l list) of(owner string) list {
	var own list
	for _, item := range l.items {
		if item.owner == owner && owner != "" {
			own.items = append(own.items, item)
		}
	}
	own.total = len(own.items)
	return own
}

// listBuffer is the buffer through which a list is written: without one, each result would be a write of its own.
const listBuffer = 32 << 10

// write sends the first n results: {"total":2,"results":[...]}. total is the number of stored results; the most
// recently changed result comes first.
func (l list) write(w http.ResponseWriter, n int) error {
	items := l.items[:min(n, len(l.items))]
	head, tail := fmt.Sprintf(`{"total":%d,"results":[`, l.total), "]}\n"
	size := len(head) + len(tail)
	for _, item := range items {
		size += len(item.json)
	}
	if len(items) > 0 {
		size-- // no comma after the last one
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(size))
	out := bufio.NewWriterSize(w, listBuffer) // keeps the first error
	_, _ = out.WriteString(head)
	for i, item := range items {
		part := item.json
		if i == len(items)-1 {
			part = part[:len(part)-1]
		}
		_, _ = out.Write(part)
	}
	_, _ = out.WriteString(tail)
	return out.Flush()
}

// write sends a list. The number of lists being written is limited: if there are too many, the oldest one is cut off.
// Clients that read receive their list within milliseconds.
func (l *recent) write(w http.ResponseWriter, answer list, n int) {
	control := http.NewResponseController(w)
	l.mu.Lock()
	if len(l.written) == maxListsWritten {
		_ = l.written[0].SetWriteDeadline(time.Unix(1, 0)) // fails only if the connection is already closed
		l.written = l.written[1:]
	}
	l.written = append(l.written, control)
	l.mu.Unlock()
	if answer.write(w, n) == nil {
		_ = control.Flush() // write errors are the client's concern
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = slices.DeleteFunc(l.written, func(other *http.ResponseController) bool { return other == control })
}

// results lists the most recently changed requests that the client may see: GET /results, ?limit=100.
func (d *Dispatcher) results(w http.ResponseWriter, r *http.Request) error {
	if err := httpx.CheckQuery(r, "limit"); err != nil {
		return err
	}
	limit := defaultRecent
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return errInvalid("limit must be a positive integer", "for example ?limit=100")
		}
		limit = min(n, maxRecent)
	}
	answer, err := d.recent.get(r.Context(), d.store, d.caller(r.Context()), limit)
	if problem := d.storageProblem(); err != nil && problem != nil {
		return problem
	}
	if err != nil {
		return err
	}
	d.recent.write(w, answer, limit)
	return nil
}
