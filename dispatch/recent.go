package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
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
	turn  chan struct{} // holds a value while a list is read
	pause time.Time     // guarded by turn: earliest time of the next read

	mu      sync.Mutex
	next    map[int]*reading           // guarded by mu: by length, the next read for requests that arrive now
	written []*http.ResponseController // guarded by mu: lists being written, oldest first
}

// reading is a list that is being read, or waits to be read.
type reading struct {
	done chan struct{} // closed when list and err are set
	list list
	err  error
}

func newRecent() *recent {
	return &recent{turn: make(chan struct{}, 1), next: map[int]*reading{}}
}

// pauseAfter returns the time between the end of one read and the start of the next, so that reads take at most a
// tenth of the time. A list that took 20 ms is read at most every 200 ms.
func pauseAfter(took time.Duration) time.Duration { return min(9*took, maxListPause) }

// length returns how many results to read for a list of n. There are only two lengths, so that requests can share
// reads.
func length(n int) int {
	if n <= defaultRecent {
		return defaultRecent
	}
	return maxRecent
}

// get returns a list of at least the n most recently changed results, read after the call began.
func (l *recent) get(ctx context.Context, from store.Store, n int) (list, error) {
	n = length(n)
	next := l.join(n)
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
	l.read(ctx, from, n, next)
	return next.list, next.err
}

// read performs the read that requests wait for. The caller has the turn.
func (l *recent) read(ctx context.Context, from store.Store, n int, next *reading) {
	l.leave(n)
	defer close(next.done)
	start := time.Now()
	// Other requests wait for this read too, so it must not end with this client.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	defer cancel()
	next.list, next.err = readList(ctx, from, n)
	l.pause = time.Now().Add(pauseAfter(time.Since(start)))
}

// join returns the next read of that length.
func (l *recent) join(n int) *reading {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next[n] == nil {
		l.next[n] = &reading{done: make(chan struct{})}
	}
	return l.next[n]
}

// leave starts the next read of that length: later requests need another one.
func (l *recent) leave(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.next, n)
}

// list is the JSON of the most recently changed results. It is shared and must not be modified.
type list struct {
	total int
	items []byte // results, separated by commas
	ends  []int  // end of each result in items
}

func readList(ctx context.Context, s store.Store, n int) (list, error) {
	records, err := s.Recent(ctx, n)
	if err != nil {
		return list{}, errUnreachable("Results are", err)
	}
	l := list{ends: make([]int, 0, len(records))}
	if l.total, err = s.Count(ctx); err != nil {
		return list{}, errUnreachable("Results are", err)
	}
	for _, record := range records {
		item, err := json.Marshal(newResultBody(record))
		if err != nil {
			return list{}, fmt.Errorf("write result %s: %w", record.ID, err)
		}
		if len(l.ends) > 0 {
			l.items = append(l.items, ',')
		}
		l.items = append(l.items, item...)
		l.ends = append(l.ends, len(l.items))
	}
	return l, nil
}

// write sends the first n results: {"total":2,"results":[...]}. total is the number of stored results; the most
// recently changed result comes first.
func (l list) write(w http.ResponseWriter, n int) error {
	items := l.items
	if n < len(l.ends) {
		items = l.items[:l.ends[n-1]]
	}
	head, tail := fmt.Sprintf(`{"total":%d,"results":[`, l.total), "]}\n"
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(head)+len(items)+len(tail)))
	for _, part := range [][]byte{[]byte(head), items, []byte(tail)} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
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

// results lists the most recently changed requests: GET /results, ?limit=100.
func (d *Dispatcher) results(w http.ResponseWriter, r *http.Request) error {
	limit := defaultRecent
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return errInvalid("limit must be a positive integer", "for example ?limit=100")
		}
		limit = min(n, maxRecent)
	}
	answer, err := d.recent.get(r.Context(), d.store, limit)
	if problem := d.storageProblem(); err != nil && problem != nil {
		return problem
	}
	if err != nil {
		return err
	}
	d.recent.write(w, answer, limit)
	return nil
}
