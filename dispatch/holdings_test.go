package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// waitingJobs is what a client has with n interactive jobs waiting.
func waitingJobs(n int) holding {
	h := holding{unfinished: n}
	h.waiting[0][0] = n
	return h
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	const capacity, mib = 200, 1 << 20
	bytes := func(n int64) holding { return holding{unfinished: 1, bytes: n * mib} }
	tests := map[string]struct {
		client client
		has    holding
		places int   // waiting in the queue
		of     int   // capacity; 0 means 200
		total  int64 // MiB of all clients
		size   int64 // MiB of this image
		want   limit
	}{
		"alone":                            {has: waitingJobs(174), places: 174},
		"alone, all but an eighth":         {has: waitingJobs(175), places: 175, want: limitPlaces},
		"a second client":                  {has: waitingJobs(20), places: 195},
		"a second client, its share":       {has: waitingJobs(21), places: 196 + 1, want: limitPlaces},
		"nothing yet, one place left":      {places: 199},
		"nothing waiting, one place left":  {has: holding{unfinished: 5}, places: 199},
		"the queue itself refuses":         {has: waitingJobs(175), places: 200},
		"tiny, the last place":             {has: waitingJobs(2), places: 2, of: 3},
		"seven places":                     {has: waitingJobs(6), places: 6, of: 7},
		"eight places":                     {has: waitingJobs(7), places: 7, of: 8, want: limitPlaces},
		"in flight":                        {client: client{inFlight: 3}, has: waitingJobs(2)},
		"too many in flight":               {client: client{inFlight: 3}, has: waitingJobs(3), want: limitInFlight},
		"taken ones count as in flight":    {client: client{inFlight: 3}, has: holding{unfinished: 3}, want: limitInFlight},
		"bytes, alone":                     {has: bytes(860), total: 860, size: 10},
		"bytes, alone, all but an eighth":  {has: bytes(890), total: 890, size: 10, want: limitBytes},
		"bytes, beside others":             {has: bytes(10), total: 900, size: 10},
		"bytes, nothing yet":               {total: 1020, size: 10},
		"bytes, more than there is":        {has: bytes(1), total: 1020, size: 10, want: limitBytes},
		"both priorities count for places": {has: holding{unfinished: 176, waiting: [2][queue.Lanes]int{{1, 0, 0}, {5, 70, 100}}}, places: 176, want: limitPlaces},
	}
	for name, test := range tests {
		if test.of == 0 {
			test.of = capacity
		}
		r := room{waiting: test.places, capacity: test.of, maxBytes: 1024 * mib}
		if got := r.refuses(test.client, test.has, test.total*mib, test.size*mib); got != test.want {
			t.Errorf("%s: refused because of %q, want %q", name, got, test.want)
		}
	}
}

// TestOneClientLeavesRoom fills a queue: one client gets 175 of 200 places, and each further client most of what is left.
func TestOneClientLeavesRoom(t *testing.T) {
	t.Parallel()
	h, waiting := newHoldings(), 0
	fill := func(name string) (n int) {
		for ; ; n++ {
			job := resnet18cloud.Job{ID: testutil.ID(fmt.Sprint(name, n))}
			if _, l := h.add(client{name: name}, job, room{waiting: waiting, capacity: 200, maxBytes: 1 << 30}); l != "" || waiting == 200 {
				return n
			}
			waiting++
		}
	}
	for i, want := range []int{175, 22, 3} {
		if got := fill(fmt.Sprint("client ", i)); got != want {
			t.Errorf("client %d got %d places, want %d", i, got, want)
		}
	}
}

// TestLaneOfAClient checks that lanes follow from what one client has waiting, whatever others have.
func TestLaneOfAClient(t *testing.T) {
	t.Parallel()
	h := newHoldings()
	plenty := room{capacity: 10_000, maxBytes: 1 << 30}
	add := func(name string, i int, p resnet18cloud.Priority) int {
		lane, l := h.add(client{name: name}, resnet18cloud.Job{ID: testutil.ID(fmt.Sprint(name, p, i)), Priority: p}, plenty)
		if l != "" {
			t.Fatal(l)
		}
		return lane
	}
	for i, want := range map[int]int{0: 0, 1: 0, 2: 1, 15: 1, 16: 2, 99: 2} {
		h = newHoldings()
		for n := range i {
			add("flood", n, resnet18cloud.PriorityInteractive)
		}
		if got := add("flood", i, resnet18cloud.PriorityInteractive); got != want {
			t.Errorf("job %d is in lane %d, want %d", i, got, want)
		}
		if got := add("other", i, resnet18cloud.PriorityInteractive); got != 0 {
			t.Errorf("another client's first job is in lane %d", got)
		}
		if got := add("flood", i, resnet18cloud.PriorityBulk); got != 0 {
			t.Errorf("the first job of another priority is in lane %d", got)
		}
	}
	// Its jobs were served in turn, so that one more does not wait for others.
	h = newHoldings()
	for i := range 100 {
		add("flood", i, resnet18cloud.PriorityInteractive)
	}
	for i := range 99 {
		id := testutil.ID(fmt.Sprint("flood", resnet18cloud.PriorityInteractive, i))
		h.taken(resnet18cloud.Job{ID: id}, true, time.Now())
		h.ended(id, 0)
	}
	if got := add("flood", 100, resnet18cloud.PriorityInteractive); got != 0 {
		t.Errorf("a job of a client that was served is in lane %d", got)
	}
}

// TestEndedElsewhere checks that a client's requests do not count any more when another dispatcher has ended them.
func TestEndedElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, answering)
	submit := func(content string) (store.Record, error) {
		return b.submit(t.Context(), resnet18cloud.Image{Name: "a.jpg", Bytes: []byte(content)},
			submitOptions{arrived: time.Now(), priority: resnet18cloud.PriorityInteractive, client: client{name: "a", inFlight: 1}})
	}
	r, err := submit("1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := submit("2"); resnet18cloud.AsError(err).Code != resnet18cloud.CodeRateLimited {
		t.Fatalf("a second request: %v, want rate_limited", err)
	}
	if _, err := b.store.Update(t.Context(), cancelled(b.get(t, r.ID), time.Now())); err != nil {
		t.Fatal(err)
	}
	b.holdings.swept = time.Time{} // the time between two looks has passed
	if _, err := submit("3"); err != nil {
		t.Errorf("a request after the first has ended: %v", err)
	}
}

// TestAhead checks how much of what waits comes before a client's next job.
func TestAhead(t *testing.T) {
	t.Parallel()
	const interactive, bulk = resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk
	h := newHoldings()
	if got := h.ahead(client{name: "a"}, interactive, 4); got != 1 {
		t.Errorf("nothing waits: %g of it is ahead, want all", got)
	}
	for i := range 100 {
		job := resnet18cloud.Job{ID: testutil.ID(fmt.Sprint(i)), Priority: interactive}
		if _, l := h.add(client{name: "flood"}, job, room{capacity: 1000, maxBytes: 1 << 30}); l != "" {
			t.Fatal(l)
		}
	}
	for _, test := range []struct {
		client   string
		priority resnet18cloud.Priority
		want     float64
	}{{"other", interactive, 0.02}, {"flood", interactive, 1}, {"other", bulk, 1}} {
		if got := h.ahead(client{name: test.client}, test.priority, 4); got != test.want {
			t.Errorf("%g of what waits is ahead of the next %s job of %s, want %g", got, test.priority, test.client, test.want)
		}
	}
}

// TestHoldings checks the accounts after random events: what clients hold is the sum of their requests, and nothing is
// left when all have ended.
func TestHoldings(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	h := newHoldings()
	pick := func() (string, int) { return testutil.ID(fmt.Sprint(random.IntN(40))), random.IntN(3) }
	check := func() {
		t.Helper()
		sums, total := map[string]holding{}, int64(0)
		var waiting [queue.Classes]int
		for _, r := range h.requests {
			s := sums[r.client]
			s.unfinished++
			s.bytes += r.bytes
			total += r.bytes
			if r.waiting {
				s.waiting[priorityIndex(r.class)][r.class.Lane]++
				waiting[r.class.Index()]++
			}
			sums[r.client] = s
		}
		if len(sums) != len(h.clients) || total != h.total || waiting != h.waiting {
			t.Fatalf("%d clients with %d bytes and %v waiting, want %d with %d and %v", len(h.clients), h.total, h.waiting, len(sums), total, waiting)
		}
		for name, want := range sums {
			got := *h.clients[name]
			got.paces = [2]pace{}
			if got != want {
				t.Fatalf("%s has %+v, want %+v", name, got, want)
			}
		}
	}
	now := time.Now()
	for range 20_000 {
		id, generation := pick()
		switch random.IntN(5) {
		case 0, 1:
			p := []resnet18cloud.Priority{resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk}[random.IntN(2)]
			h.add(client{name: fmt.Sprint(random.IntN(4))}, resnet18cloud.Job{ID: id, Generation: generation, Priority: p,
				Image: resnet18cloud.Image{Bytes: make([]byte, random.IntN(100))}}, room{capacity: 1000, maxBytes: 1 << 20})
			if random.IntN(2) == 0 {
				h.recorded(id, now)
			}
		case 2:
			h.taken(resnet18cloud.Job{ID: id, Generation: generation}, true, time.Now())
		case 3:
			if random.IntN(2) == 0 {
				h.withdraw(id, generation)
			} else {
				h.ended(id, generation)
			}
		case 4:
			var unfinished []store.Record
			for id := range h.requests {
				if random.IntN(10) > 0 {
					status := []resnet18cloud.Status{resnet18cloud.StatusQueued, resnet18cloud.StatusProcessing}[random.IntN(2)]
					unfinished = append(unfinished, store.Record{ID: id, Status: status})
				}
			}
			if random.IntN(20) == 0 {
				h.sweep(unfinished, now)
			}
		}
		check()
	}
	h.sweep(nil, time.Now().Add(time.Hour))
	check()
	if len(h.requests) != 0 {
		t.Errorf("%d requests are left", len(h.requests))
	}
}

// TestSweep checks what is learned from the records of all dispatchers.
func TestSweep(t *testing.T) {
	t.Parallel()
	now := time.Now()
	id := testutil.ID("a")
	for name, test := range map[string]struct {
		recorded bool
		records  []store.Record
		after    time.Duration
		waiting  int
		held     int
	}{
		"waiting":                    {true, []store.Record{{ID: id, Status: resnet18cloud.StatusQueued}}, time.Hour, 1, 1},
		"taken by another":           {true, []store.Record{{ID: id, Status: resnet18cloud.StatusProcessing}}, 0, 0, 1},
		"ended by another":           {true, nil, 1, 0, 0},
		"recorded after the reading": {true, nil, 0, 1, 1},
		"the record is not written":  {false, nil, time.Second, 1, 1},
		"the record was never there": {false, nil, sweepGrace + time.Second, 0, 0},
	} {
		h := newHoldings()
		h.add(client{}, resnet18cloud.Job{ID: id}, room{capacity: 10, maxBytes: 1 << 20})
		if test.recorded {
			h.recorded(id, now)
		}
		h.sweep(test.records, now.Add(test.after))
		var got holding
		if have := h.clients[""]; have != nil {
			got = *have
		}
		if got.waiting[0][0] != test.waiting || got.unfinished != test.held {
			t.Errorf("%s: %+v, want %d waiting of %d", name, got, test.waiting, test.held)
		}
	}
}

// TestWithdraw checks that a request counts while one of the submissions with its idempotency key has stored it.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	of := func(generation int) resnet18cloud.Job {
		return resnet18cloud.Job{ID: testutil.ID("a"), Generation: generation}
	}
	for name, test := range map[string]struct {
		added, withdrawn []int // generations
		want             int   // requests that count
	}{
		"the only one":          {[]int{0}, []int{0}, 0},
		"one of two":            {[]int{1, 1}, []int{1}, 1},
		"both":                  {[]int{1, 1}, []int{1, 1}, 0},
		"an earlier generation": {[]int{0, 1}, []int{0}, 1},
		"what has ended":        {nil, []int{0}, 0},
	} {
		h := newHoldings()
		for _, generation := range test.added {
			h.add(client{}, of(generation), room{capacity: 10, maxBytes: 1 << 20})
		}
		for _, generation := range test.withdrawn {
			h.withdraw(of(0).ID, generation)
		}
		if got := len(h.requests); got != test.want {
			t.Errorf("%s: %d requests count, want %d", name, got, test.want)
		}
	}
}

// TestSweepDue checks when an admission reads the records.
func TestSweepDue(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		began, swept time.Duration // before now
		shared, some bool
		want         bool
	}{
		"after the start":               {began: findTime - 1, swept: sweepInterval, want: true},
		"after the start, just swept":   {began: findTime - 1, swept: sweepInterval - 1},
		"later":                         {began: findTime, swept: time.Minute, some: true},
		"later, shared":                 {began: findTime, swept: time.Minute, some: true, shared: true, want: true},
		"later, shared, just swept":     {began: findTime, swept: sweepInterval - 1, some: true, shared: true},
		"later, shared, nothing counts": {began: findTime, swept: time.Minute, shared: true},
	} {
		h := newHoldings()
		h.begin(now.Add(-test.began))
		h.sweep(nil, now.Add(-test.swept))
		if test.some {
			h.add(client{}, resnet18cloud.Job{ID: testutil.ID("a")}, room{capacity: 10, maxBytes: 1 << 20})
		}
		if got := h.sweepDue(now, sweepInterval, test.shared); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// lateStore has not read its records at first.
type lateStore struct {
	store.Store
	read bool
}

func (s *lateStore) Unfinished(ctx context.Context) ([]store.Record, error) {
	if !s.read {
		return nil, nil
	}
	return s.Store.Unfinished(ctx)
}

// TestAdmissionFindsRequests checks that requests of an earlier process that the store had not read at the start count
// at the next admission, although the queue is not shared.
func TestAdmissionFindsRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &lateStore{Store: memstore.New(time.Hour, 100)}
		r := store.Record{ID: testutil.ID("a"), Client: "a", Status: resnet18cloud.StatusQueued, QueuedAt: time.Now().Add(-time.Second)}
		if _, err := s.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		d, err := New(Config{Queue: memqueue.New(100, time.Minute), Store: s, Endpoints: []string{"http://127.0.0.1:1"}})
		if err != nil {
			t.Fatal(err)
		}
		d.limits.heartbeatTimeout = 0
		d.countUnfinished(t.Context())
		s.read = true
		time.Sleep(sweepInterval)
		_, err = d.admit(t.Context(), client{name: "a", inFlight: 1}, resnet18cloud.Job{ID: testutil.ID("b")})
		if !errors.Is(err, limitInFlight) {
			t.Errorf("admit = %v, want the limit of requests in flight", err)
		}
	})
}

// TestHoldingsAfterRestart checks that a new process counts what an earlier one had accepted, until it has ended.
func TestHoldingsAfterRestart(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	record := func(name string, change func(*store.Record)) store.Record {
		r := store.Record{ID: testutil.ID(name), Client: "a", Status: resnet18cloud.StatusQueued, QueuedAt: began.Add(-time.Minute), Bytes: 10}
		if change != nil {
			change(&r)
		}
		return r
	}
	unfinished := []store.Record{
		record("waits", nil),
		record("in lane 2", func(r *store.Record) { r.Lane = 2 }),
		record("bulk", func(r *store.Record) { r.Priority = resnet18cloud.PriorityBulk }),
		record("processing", func(r *store.Record) { r.Status = resnet18cloud.StatusProcessing }),
		record("of a key", func(r *store.Record) { r.Client, r.Owner = "", "k" }),
		record("of an old version", func(r *store.Record) { r.Client = "" }),
		record("of this process", func(r *store.Record) { r.QueuedAt = began }),
	}
	h := newHoldings()
	h.begin(began)
	h.sweep(unfinished, began)
	h.sweep(unfinished, began.Add(time.Second)) // counts nothing twice
	want := holding{waiting: [2][queue.Lanes]int{{1, 0, 1}, {1, 0, 0}}, unfinished: 4, bytes: 40}
	got := h.clients["a"]
	if got != nil {
		got.paces = [2]pace{}
	}
	if got == nil || *got != want {
		t.Errorf("client a has %+v, want %+v", got, want)
	}
	if got := h.clients["k"]; got == nil || got.unfinished != 1 || len(h.clients) != 2 || h.total != 50 {
		t.Errorf("client k has %+v, %d clients have %d bytes, want 1 request, 2 clients, 50 bytes", got, len(h.clients), h.total)
	}
	next := resnet18cloud.Job{ID: testutil.ID("next"), QueuedAt: began}
	if lane, _ := h.add(client{name: "a"}, next, room{capacity: 100, maxBytes: 1000}); lane != 1 {
		t.Errorf("the next job is in lane %d, want 1, behind two", lane)
	}
	if _, l := h.add(client{name: "a", inFlight: 5}, resnet18cloud.Job{ID: testutil.ID("sixth")}, room{capacity: 100, maxBytes: 1000}); l != limitInFlight {
		t.Errorf("the sixth request was refused because of %q", l)
	}
	h.ended(testutil.ID("next"), 0)
	h.taken(resnet18cloud.Job{ID: testutil.ID("waits")}, true, began)
	h.sweep(nil, began.Add(2*time.Second))
	if len(h.clients) != 0 || len(h.requests) != 0 || h.total != 0 || h.waiting != [queue.Classes]int{} {
		t.Errorf("after the end of all: %+v", h)
	}
}
