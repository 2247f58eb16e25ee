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

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
)

const (
	defaultRecent = 100  // results in a list, unless the client says how many
	maxRecent     = 1000 // most results in a list

	// maxListsWritten is how many lists are written at a time. One that a client does not read stays in the buffers of
	// its connection.
	maxListsWritten = 64
	// listTimeout bounds one reading of the store.
	listTimeout = 10 * time.Second
	// maxListPause is the longest time between two readings.
	maxListPause = 2 * time.Second
)

// recent makes the lists of GET /results. A list costs the store much more than a result does, and it is large. So one is
// read at a time, and requests that arrived before the reading began share it, and with it the memory of its JSON.
type recent struct {
	turn  chan struct{} // holds one element while a list is read
	pause time.Time     // guarded by turn: no reading begins before

	mu      sync.Mutex
	next    map[int]*reading           // guarded by mu: by length, what requests that arrive now wait for
	written []*http.ResponseController // guarded by mu: lists being written, the oldest first
}

// reading is a list that is, or will be, read.
type reading struct {
	done chan struct{} // closed when list and err are set
	list list
	err  error
}

func newRecent() *recent {
	return &recent{turn: make(chan struct{}, 1), next: map[int]*reading{}}
}

// pauseAfter is how long after a reading the next one begins: readings take a tenth of the time at most. A list that
// took 20 ms is read at most every 200 ms.
func pauseAfter(took time.Duration) time.Duration { return min(9*took, maxListPause) }

// length is how many results are read for a list of n: there are few lengths, so that requests can share readings.
func length(n int) int {
	if n <= defaultRecent {
		return defaultRecent
	}
	return maxRecent
}

// get returns a list of the n results that changed last, or more, read after the call.
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
	case <-next.done: // by the one before
		return next.list, next.err
	case <-ctx.Done():
		return list{}, ctx.Err() // another of those who wait takes the turn
	case <-time.After(time.Until(l.pause)):
	}
	l.read(ctx, from, n, next)
	return next.list, next.err
}

// read does the reading that requests wait for. The caller has the turn.
func (l *recent) read(ctx context.Context, from store.Store, n int, next *reading) {
	l.leave(n)
	defer close(next.done)
	start := time.Now()
	// Others wait for it too, so it does not end with this client.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	defer cancel()
	next.list, next.err = readList(ctx, from, n)
	l.pause = time.Now().Add(pauseAfter(time.Since(start)))
}

// join returns the next reading of that length.
func (l *recent) join(n int) *reading {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next[n] == nil {
		l.next[n] = &reading{done: make(chan struct{})}
	}
	return l.next[n]
}

// leave begins the next reading of that length: requests that arrive later need another.
func (l *recent) leave(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.next, n)
}

// list is the JSON of the results that changed last. It is shared and not changed.
type list struct {
	total int
	items []byte // the results, separated by commas
	ends  []int  // where each ends in items
}

func readList(ctx context.Context, s store.Store, n int) (list, error) {
	records, err := s.Recent(ctx, n)
	if err != nil {
		return list{}, notReachable("Results are", err)
	}
	l := list{ends: make([]int, 0, len(records))}
	if l.total, err = s.Count(ctx); err != nil {
		return list{}, notReachable("Results are", err)
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

// write sends the first n results: {"total":2,"results":[...]}. The total is of results stored, the last changed first.
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

// write sends a list. How many are written at a time is bounded: the one that has been written longest is cut for a new
// one. Clients that read have their list in milliseconds.
func (l *recent) write(w http.ResponseWriter, answer list, n int) {
	control := http.NewResponseController(w)
	l.mu.Lock()
	if len(l.written) == maxListsWritten {
		_ = l.written[0].SetWriteDeadline(time.Unix(1, 0)) // a connection that is closed needs none
		l.written = l.written[1:]
	}
	l.written = append(l.written, control)
	l.mu.Unlock()
	if answer.write(w, n) == nil {
		_ = control.Flush() // errors of the connection are the client's business
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = slices.DeleteFunc(l.written, func(other *http.ResponseController) bool { return other == control })
}

// results lists the requests that changed last: GET /results, ?limit=100.
func (d *Dispatcher) results(w http.ResponseWriter, r *http.Request) error {
	limit := defaultRecent
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "limit is not a positive number"}
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
