// Package queuetest tests implementations of queue.Queue. A test of an implementation runs a [Suite].
package queuetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// AckWait is the ack wait of the queues under test.
const AckWait = 500 * time.Millisecond

// PullWait is the maximum time for which queues under test may leave a request for a job at their storage.
const PullWait = 250 * time.Millisecond

// pendingRequests is how long requests may stay at the storage after a call of Next: two may follow it.
const pendingRequests = 4 * PullWait

// Suite is a test of an implementation.
type Suite struct {
	// Open returns a new, empty queue of the given capacity that is not running yet, and a function that creates
	// another one on the same storage, or nil if that is not possible.
	Open func(t *testing.T, capacity int) (q queue.Queue, reopen func() queue.Queue)
	// Virtual runs each test in virtual time (testing/synctest). The queue must not use I/O.
	Virtual bool
}

// Run runs the tests of the suite in parallel.
func (s Suite) Run(t *testing.T) {
	tests := map[string]func(*testing.T, queue.Queue){
		"delivers jobs unchanged":         carries,
		"is first in, first out":          fifo,
		"rejects jobs above the capacity": full,
		"stores an ID once":               dedup,
		"redelivers after Nak":            nak,
		"redelivers after a death":        lost,
		"keeps jobs in progress":          inProgress,
		"prefers interactive jobs":        priorities,
		"prefers lower lanes":             lanes,
		"keeps the order in a lane":       laneOrder,
		"leaves later lanes":              firstLanes,
		"distinguishes generations":       generations,
		"lists its jobs":                  lists,
		"counts correctly after faults":   counts,
		"finds a job":                     finds,
		"removes a job":                   removes,
		"removes jobs as they arrive":     removesArriving,
		"rejects invalid IDs":             foreignIDs,
		"stops waiting with the context":  ends,
		"delivers each job to one worker": once,
	}
	for name, test := range tests {
		s.run(t, name, func(t *testing.T) {
			q, _ := s.Open(t, 20)
			Start(t, q)
			test(t, q)
		})
	}
	s.run(t, "survives a restart", func(t *testing.T) {
		q, reopen := s.Open(t, 20)
		if reopen == nil {
			t.Skip("this queue does not survive its process")
		}
		survives(t, q, reopen)
	})
}

func (s Suite) run(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		if s.Virtual {
			synctest.Test(t, test)
		} else {
			test(t)
		}
	})
}

// Start runs the queue until the end of the test, or until stop is called.
func Start(t *testing.T, q queue.Queue) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() { defer close(ended); done <- q.Run(ctx) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	select {
	case <-q.Ready():
	case err := <-done:
		t.Fatalf("Run: %v", err)
	}
	return stop
}

// job returns a job whose image has the name. Its ID is testutil.ID(name).
func job(name string, p resnet18cloud.Priority) resnet18cloud.Job {
	content := []byte("content of " + name)
	return resnet18cloud.Job{ID: testutil.ID(name), Owner: "owner of " + name, Client: "owner of " + name, Priority: p, Digest: sha256.Sum256(content), QueuedAt: time.Now().Round(0).UTC(),
		Image: resnet18cloud.Image{Name: name, Bytes: content, Want: resnet18cloud.Want{Embedding: true, Normalize: true}}}
}

func publish(t *testing.T, q queue.Queue, p resnet18cloud.Priority, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := q.Publish(t.Context(), job(name, p)); err != nil {
			t.Fatalf("Publish(%s): %v", name, err)
		}
	}
}

func next(t *testing.T, q queue.Queue) queue.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d, err := q.Next(ctx, queue.Lanes)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return d
}

func ack(t *testing.T, d queue.Delivery) {
	t.Helper()
	if err := d.Ack(t.Context()); err != nil {
		t.Fatalf("Ack(%s): %v", d.Job().Image.Name, err)
	}
}

// wantNext takes the next job, checks its name, and acknowledges it.
func wantNext(t *testing.T, q queue.Queue, name string) {
	t.Helper()
	d := next(t, q)
	if got := d.Job().Image.Name; got != name {
		t.Fatalf("Next = %s, want %s", got, name)
	}
	ack(t, d)
}

// wantNothing checks that no job is delivered for longer than AckWait.
func wantNothing(t *testing.T, q queue.Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*AckWait)
	defer cancel()
	if d, err := q.Next(ctx, queue.Lanes); err == nil {
		t.Fatalf("Next = %s, want nothing", d.Job().Image.Name)
	}
}

func carries(t *testing.T, q queue.Queue) {
	sent := job("a", resnet18cloud.PriorityBulk)
	sent.Image.Name = "dir\r\n/ü %41 \x00.jpg"
	sent.Deadline, sent.Generation, sent.Lane = sent.QueuedAt.Add(time.Hour), 3, queue.Lanes-1
	sent.Webhook, sent.Batch = "https://hooks.example.com/a?b=c%20d", "0199f3a0-0000-7000-8000-000000000001"
	sent.Trace = resnet18cloud.NewTrace()
	sent.Trace.RequestID, sent.Trace.Given = "from-gateway", true
	sent.Trace.State = "rojo=00f067aa0ba902b7,congo=t61 rcWkgMzE"
	before := time.Now()
	if err := q.Publish(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	d := next(t, q)
	got := d.Job()
	if got.StoredAt.Before(before) || got.StoredAt.After(time.Now()) {
		t.Errorf("job was stored at %s, want %s to now", got.StoredAt, before)
	}
	got.StoredAt = time.Time{}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Errorf("job (-sent +delivered):\n%s", diff)
	}
	ack(t, d)
	if err := q.Probe(t.Context()); err != nil {
		t.Errorf("Probe: %v", err)
	}
}

func fifo(t *testing.T, q queue.Queue) {
	publish(t, q, resnet18cloud.PriorityInteractive, "a", "b", "c")
	if got := q.Waiting().Total(); got != 3 {
		t.Errorf("Waiting = %d, want 3", got)
	}
	wantNext(t, q, "a")
	wantNext(t, q, "b")
	if got := q.Waiting().Total(); got != 1 {
		t.Errorf("Waiting = %d, want 1", got)
	}
	wantNext(t, q, "c")
	wantNothing(t, q)
}

func full(t *testing.T, q queue.Queue) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprint("n", i))
	}
	publish(t, q, resnet18cloud.PriorityInteractive, names[:15]...)
	publish(t, q, resnet18cloud.PriorityBulk, names[15:]...)
	if err := q.Publish(t.Context(), job("too-much", resnet18cloud.PriorityInteractive)); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("Publish to a full queue: %v, want ErrFull", err)
	}
	if got, want := q.Waiting(), (queue.Depth{Interactive: 15, Bulk: 5}); got != want {
		t.Errorf("Waiting = %+v, want %+v", got, want)
	}
	d := next(t, q) // a job that was taken does not count as waiting
	publish(t, q, resnet18cloud.PriorityInteractive, "fits")
	ack(t, d)
}

func dedup(t *testing.T, q queue.Queue) {
	publish(t, q, resnet18cloud.PriorityInteractive, "a", "a")
	if got := q.Waiting().Total(); got != 1 {
		t.Errorf("Waiting = %d, want 1", got)
	}
	wantNext(t, q, "a")
	publish(t, q, resnet18cloud.PriorityInteractive, "a")
	wantNothing(t, q)
}

func generations(t *testing.T, q queue.Queue) {
	first := job("a", resnet18cloud.PriorityInteractive)
	second := first
	second.Generation = 1
	for want, published := range [][]resnet18cloud.Job{{first, first}, {second, second, first}} {
		for _, j := range published {
			if err := q.Publish(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		d := next(t, q)
		if got := d.Job(); got.ID != first.ID || got.Generation != want {
			t.Fatalf("Next = generation %d of %s, want %d", got.Generation, got.ID, want)
		}
		wantJobs(t, q, "a")
		ack(t, d)
	}
	wantNothing(t, q)
	wantJobs(t, q)
}

// wantJobs waits until Jobs returns exactly the jobs with the names. An acknowledgment may arrive after Ack returns.
func wantJobs(t *testing.T, q queue.Queue, names ...string) {
	t.Helper()
	want := map[string]struct{}{}
	for _, name := range names {
		want[testutil.ID(name)] = struct{}{}
	}
	var got map[string]struct{}
	eventually(t, func() bool {
		var err error
		if got, err = q.Jobs(t.Context()); err != nil {
			t.Fatalf("Jobs: %v", err)
		}
		return maps.Equal(got, want)
	}, func() string {
		return fmt.Sprintf("Jobs = %v, want those of %v", slices.Collect(maps.Keys(got)), names)
	})
}

// eventually waits until done reports true, and fails with the text of problem otherwise.
func eventually(t *testing.T, done func() bool, problem func() string) {
	t.Helper()
	for deadline := time.After(10 * time.Second); !done(); {
		select {
		case <-deadline:
			t.Fatal(problem())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func lists(t *testing.T, q queue.Queue) {
	wantJobs(t, q)
	publish(t, q, resnet18cloud.PriorityInteractive, "a", "b", "c")
	publish(t, q, resnet18cloud.PriorityBulk, "bulk")
	all := []string{"a", "b", "c", "bulk"}
	wantJobs(t, q, all...)
	taken, givenBack := next(t, q), next(t, q)
	if err := givenBack.Nak(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	wantJobs(t, q, all...)
	ack(t, taken)
	wantJobs(t, q, slices.DeleteFunc(all, func(name string) bool { return name == taken.Job().Image.Name })...)
}

// counts checks that Waiting becomes exact again within two seconds, after publications with unknown outcome, workers
// that died, late or missing acknowledgments, and returned jobs.
func counts(t *testing.T, q queue.Queue) {
	for round := range 2 {
		unknown := 0
		for i := range 10 {
			// The deadline passes before, while or after the job is stored.
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*150*time.Microsecond)
			if err := q.Publish(ctx, job(fmt.Sprint("round ", round, " job ", i), resnet18cloud.PriorityInteractive)); err != nil {
				unknown++
			}
			cancel()
		}
		t.Logf("round %d: %d publications of unknown outcome", round, unknown)
		publish(t, q, resnet18cloud.PriorityInteractive, fmt.Sprint("round ", round, " a"), fmt.Sprint("round ", round, " b"))
		publish(t, q, resnet18cloud.PriorityBulk, fmt.Sprint("round ", round, " c"))
		wantExact(t, q)

		next(t, q) // the worker dies
		late, givenBack := next(t, q), next(t, q)
		if err := givenBack.Nak(t.Context(), AckWait/2); err != nil {
			t.Fatal(err)
		}
		drain(t, q)
		_ = late.Ack(t.Context()) // another worker was faster
		wantExact(t, q)
		// A queue may still have requests pending at its storage, and would take the next jobs out of the waiting
		// ones.
		time.Sleep(pendingRequests)
	}
	publish(t, q, resnet18cloud.PriorityInteractive, "a", "b", "c", "d")
	publish(t, q, resnet18cloud.PriorityBulk, "e")
	wantExact(t, q)
}

// drain takes and acknowledges jobs until the queue is empty.
func drain(t *testing.T, q queue.Queue) {
	t.Helper()
	for {
		jobs, err := q.Jobs(t.Context())
		if err != nil {
			t.Fatalf("Jobs: %v", err)
		}
		if len(jobs) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*AckWait)
		if d, err := q.Next(ctx, queue.Lanes); err == nil {
			ack(t, d)
		}
		cancel()
	}
}

// wantExact waits until Waiting equals the number of jobs in the queue. None of them is taken.
func wantExact(t *testing.T, q queue.Queue) {
	t.Helper()
	var got, want int
	exact := func() bool {
		jobs, err := q.Jobs(t.Context())
		if err != nil {
			t.Fatalf("Jobs: %v", err)
		}
		got, want = q.Waiting().Total(), len(jobs)
		return got == want
	}
	for deadline := time.After(10 * time.Second); !exact(); {
		select {
		case <-deadline:
			t.Fatalf("Waiting = %d ten seconds later, want %d", got, want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func finds(t *testing.T, q queue.Queue) {
	for _, p := range []resnet18cloud.Priority{resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk} {
		sent := job("found "+string(p), p)
		sent.Deadline, sent.Generation, sent.Lane = sent.QueuedAt.Add(time.Hour), 2, 1
		if _, err := q.Find(t.Context(), sent.ID); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Find of a job that was never published: %v, want ErrNotFound", err)
		}
		if err := q.Publish(t.Context(), sent); err != nil {
			t.Fatal(err)
		}
		want := sent
		want.Image.Bytes = nil
		for _, state := range []string{"waiting", "taken"} {
			got, err := q.Find(t.Context(), sent.ID)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("Find of a %s job: %v (-want +got):\n%s", state, err, diff)
			}
			if state == "waiting" {
				d := next(t, q)
				defer ack(t, d)
			}
		}
	}
	for _, id := range foreign {
		if _, err := q.Find(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Find(%.50q): %v, want ErrNotFound", id, err)
		}
	}
}

// removesArriving removes jobs while the queue may be fetching them for Next. None may stay.
func removesArriving(t *testing.T, q queue.Queue) {
	for round := range 3 {
		for i := range 15 {
			name := fmt.Sprint("job ", round, " ", i)
			publish(t, q, resnet18cloud.PriorityInteractive, name)
			if err := q.Remove(t.Context(), testutil.ID(name), 0); err != nil {
				t.Fatal(err)
			}
		}
		wantJobs(t, q)
		wantExact(t, q)
	}
}

func removes(t *testing.T, q queue.Queue) {
	publish(t, q, resnet18cloud.PriorityInteractive, "a", "b", "c")
	publish(t, q, resnet18cloud.PriorityBulk, "bulk")
	remove := func(name string, generation int) {
		t.Helper()
		if err := q.Remove(t.Context(), testutil.ID(name), generation); err != nil {
			t.Fatalf("Remove(%s, %d): %v", name, generation, err)
		}
	}
	remove("never published", 0)
	remove("b", 1)
	wantJobs(t, q, "a", "b", "c", "bulk")
	for _, name := range []string{"b", "b", "a", "bulk"} {
		remove(name, 0)
	}
	wantJobs(t, q, "c")
	wantExact(t, q)
	for _, id := range foreign {
		if err := q.Remove(t.Context(), id, 0); err != nil {
			t.Errorf("Remove(%.50q): %v", id, err)
		}
	}
	wantNext(t, q, "c")
	wantNothing(t, q)

	// A later generation is another job.
	later := job("b", resnet18cloud.PriorityInteractive)
	later.Generation = 1
	if err := q.Publish(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	remove("b", 0)
	wantNext(t, q, "b")
	wantJobs(t, q)
}

func nak(t *testing.T, q queue.Queue) {
	publish(t, q, resnet18cloud.PriorityInteractive, "a")
	d := next(t, q)
	if err := d.Nak(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	d = next(t, q)
	start := time.Now()
	if err := d.Nak(t.Context(), 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	wantNext(t, q, "a")
	if took := time.Since(start); took < 200*time.Millisecond {
		t.Errorf("delivered again after %s, want 200ms or more", took)
	}
	wantNothing(t, q)
}

func lost(t *testing.T, q queue.Queue) {
	publish(t, q, resnet18cloud.PriorityInteractive, "a")
	next(t, q) // the worker dies
	wantNext(t, q, "a")
}

func inProgress(t *testing.T, q queue.Queue) {
	publish(t, q, resnet18cloud.PriorityInteractive, "a")
	d := next(t, q)
	tick := time.NewTicker(AckWait / 5)
	defer tick.Stop()
	for range 10 {
		<-tick.C
		if err := d.InProgress(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), AckWait/2)
	defer cancel()
	if _, err := q.Next(ctx, queue.Lanes); err == nil {
		t.Error("a job in progress was delivered again")
	}
	ack(t, d)
}

func priorities(t *testing.T, q queue.Queue) {
	publish(t, q, resnet18cloud.PriorityBulk, "b1", "b2", "b3")
	for i := range 2*queue.Share + 1 {
		publish(t, q, resnet18cloud.PriorityInteractive, fmt.Sprint("i", i))
	}
	// A queue that fetches one job ahead may start with whichever arrived first, and may need a few deliveries to
	// have a bulk job available; so interactive jobs keep coming until a bulk job is delivered.
	bulk, taken := 0, 0
	for ; taken < 2*queue.Share || bulk == 0 && taken < 20*queue.Share; taken++ {
		d := next(t, q)
		if d.Job().Priority == resnet18cloud.PriorityBulk {
			bulk++
		}
		ack(t, d)
		publish(t, q, resnet18cloud.PriorityInteractive, fmt.Sprint("more", taken))
	}
	if bulk < 1 || bulk > 3 {
		t.Errorf("of %d deliveries %d were bulk, want one in %d", taken, bulk, queue.Share)
	}
}

// firstLanes checks that Next leaves the jobs of later lanes if it is told to, and waits for one of the first lanes.
func firstLanes(t *testing.T, q queue.Queue) {
	for lane := 1; lane < queue.Lanes; lane++ {
		publishIn(t, q, resnet18cloud.PriorityInteractive, lane, fmt.Sprint("in lane ", lane))
	}
	ctx, cancel := context.WithTimeout(t.Context(), AckWait/2)
	defer cancel()
	if d, err := q.Next(ctx, 1); err == nil {
		t.Fatalf("Next of the first lane = %s", d.Job().Image.Name)
	}
	for _, p := range []resnet18cloud.Priority{resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk} {
		published := make(chan struct{})
		time.AfterFunc(AckWait/5, func() {
			defer close(published)
			publishIn(t, q, p, 0, string(p))
		})
		d, err := q.Next(t.Context(), 1)
		if err != nil || d.Job().Image.Name != string(p) {
			t.Fatalf("Next of the first lane: %v", err)
		}
		<-published
		ack(t, d)
	}
	d, err := q.Next(t.Context(), 2)
	if err != nil || d.Job().Lane != 1 {
		t.Fatalf("Next of the first two lanes: %v", err)
	}
	ack(t, d)
	if got := q.Waiting().Total(); got != 1 {
		t.Errorf("Waiting = %d, want 1", got)
	}
	wantNext(t, q, "in lane 2")
}

// publishIn publishes a job in a lane.
func publishIn(t *testing.T, q queue.Queue, p resnet18cloud.Priority, lane int, name string) {
	t.Helper()
	j := job(name, p)
	j.Lane = lane
	if err := q.Publish(t.Context(), j); err != nil {
		t.Fatalf("Publish(%s): %v", name, err)
	}
}

// lanes checks, for each priority, that jobs in a lower lane are not delayed by many in a higher one, and that those are
// not starved either.
func lanes(t *testing.T, q queue.Queue) {
	const flood = 2 * queue.Share
	for _, p := range []resnet18cloud.Priority{resnet18cloud.PriorityInteractive, resnet18cloud.PriorityBulk} {
		for i := range flood {
			publishIn(t, q, p, queue.Lanes-1, fmt.Sprint(p, " flood ", i))
		}
		if got := q.Waiting().Total(); p == resnet18cloud.PriorityInteractive && got != flood {
			t.Errorf("Waiting = %d, want %d: jobs of all lanes count", got, flood)
		}
		// As in the test of priorities, a queue that fetches one job ahead may start with whichever arrived first, and
		// may need a few deliveries.
		high, taken := 0, 0
		for ; taken < flood || high == 0 && taken < 10*flood; taken++ {
			publishIn(t, q, p, 0, fmt.Sprint(p, " few ", taken))
			d := next(t, q)
			if d.Job().Priority != p {
				t.Errorf("a job of priority %s was delivered, want %s", d.Job().Priority, p)
			}
			if d.Job().Lane > 0 {
				high++
			}
			ack(t, d)
		}
		if high < 1 || high > flood/2 {
			t.Errorf("%s: of %d deliveries %d were of the last lane, want about one in %d", p, taken, high, queue.Share)
		}
		drain(t, q)
	}
}

// heldFor is how long a queue that other processes share holds a job for a call of Next, at least. Then it may return it,
// and others pass it.
const heldFor = 100 * time.Millisecond

// laneOrder checks that each lane is first in, first out, and that a job returned to the queue keeps its lane.
func laneOrder(t *testing.T, q queue.Queue) {
	for lane := range queue.Lanes {
		var want, got []string
		start := time.Now()
		for i := range 4 {
			want = append(want, fmt.Sprint(lane, " ", i))
			publishIn(t, q, resnet18cloud.PriorityInteractive, lane, want[i])
		}
		for range want {
			d := next(t, q)
			got = append(got, d.Job().Image.Name)
			ack(t, d)
		}
		if time.Since(start) > heldFor {
			slices.Sort(got) // the first may have been returned, and come after others
		}
		if !slices.Equal(got, want) {
			t.Fatalf("jobs came as %q, want %q", got, want)
		}
		publishIn(t, q, resnet18cloud.PriorityInteractive, lane, fmt.Sprint(lane, " returned"))
		d := next(t, q)
		if err := d.Nak(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		d = next(t, q)
		if got := d.Job().Lane; got != lane {
			t.Errorf("a job of lane %d is in lane %d after Nak", lane, got)
		}
		ack(t, d)
	}
}

// foreign are invalid IDs: not UUIDs in canonical form.
var foreign = []string{"", "never", "a b", "a.*", ">", "../x", strings.Repeat("a", 4200),
	strings.ToUpper(testutil.ID("a")), testutil.ID("a") + ".x", testutil.ID("a")[:35] + "*"}

func foreignIDs(t *testing.T, q queue.Queue) {
	for _, id := range foreign {
		j := job("a", resnet18cloud.PriorityInteractive)
		j.ID = id
		if err := q.Publish(t.Context(), j); !errors.Is(err, resnet18cloud.ErrID) {
			t.Errorf("Publish(%.50q): %v, want ErrID", id, err)
		}
	}
	if got := q.Waiting().Total(); got != 0 {
		t.Errorf("Waiting = %d, want 0", got)
	}
	publish(t, q, resnet18cloud.PriorityInteractive, "a")
	wantNext(t, q, "a")
}

func ends(t *testing.T, q queue.Queue) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Next(ctx, queue.Lanes); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a context that has ended: %v", err)
	}
}

func once(t *testing.T, q queue.Queue) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprint("n", i))
	}
	publish(t, q, resnet18cloud.PriorityInteractive, names...)
	var mu sync.Mutex
	seen := map[string]int{}
	var takers sync.WaitGroup
	for range 4 {
		takers.Go(func() {
			for range 5 {
				d, err := q.Next(t.Context(), queue.Lanes)
				if err != nil {
					t.Error(err)
					return
				}
				if err := d.Ack(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen[d.Job().Image.Name]++
				mu.Unlock()
			}
		})
	}
	takers.Wait()
	for _, name := range names {
		if seen[name] != 1 {
			t.Errorf("%s was delivered %d times, want once", name, seen[name])
		}
	}
}

// survives checks that jobs, waiting and taken, survive the queue that stored them.
func survives(t *testing.T, q queue.Queue, reopen func() queue.Queue) {
	stop := Start(t, q)
	publish(t, q, resnet18cloud.PriorityInteractive, "taken", "waits")
	if got := next(t, q).Job().Image.Name; got != "taken" {
		t.Fatalf("Next = %s", got)
	}
	publishIn(t, q, resnet18cloud.PriorityBulk, 1, "in its lane")
	stop()
	q = reopen()
	Start(t, q)
	seen := map[string]int{}
	for range 3 {
		d := next(t, q)
		seen[d.Job().Image.Name] = d.Job().Lane
		ack(t, d)
	}
	if want := map[string]int{"taken": 0, "waits": 0, "in its lane": 1}; !maps.Equal(seen, want) {
		t.Errorf("delivered after reopening: %v, want %v", seen, want)
	}
}
