package harness

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

const (
	imageBytes = 40 << 10
	// inFlight limits the requests in flight; the load waits if the limit is reached.
	inFlight = 2048
	// patience is how long a client retries to get an image accepted, and then polls for its end.
	patience = time.Minute
	// pollWait is the ?wait= of a poll.
	pollWait = 5 * time.Second
)

// Submission is one POST /predict_async.
type Submission struct {
	Request    int
	Dispatcher int
	Sent, Done time.Time
	Answer     Answer
}

// Poll is one GET /result.
type Poll struct {
	Request    int
	Dispatcher int
	Sent, Done time.Time
	HTTPStatus int
	RetryAfter bool
	Err        error
}

// Request is one image that was sent, and its outcome.
type Request struct {
	Index    int
	ID       string // empty if it was never accepted
	Label    string // demanded by its bytes
	Accepted time.Time
	End      Answer    // zero if none was seen
	EndSeen  time.Time // when End was
	Again    []Answer  // seen by Audit, at each dispatcher
}

// Load sends images to dispatchers in turn at a constant rate. Each request is read immediately at the next
// dispatcher and at the same one, and then polled until it ends. Set the fields, then call Start and Stop. The images
// are determined by Seed.
type Load struct {
	URLs      []string
	Seed      uint64
	Name      string // distinguishes idempotency keys and images of runs
	PerSecond int
	// Retry makes clients resend an image that was rejected, or got no response, under the same key until it is
	// accepted.
	Retry bool
	// Connections limits the connections to each dispatcher that carry images; polls may use twice as many. Clients
	// wait if none is free. Zero means 256.
	Connections int

	sender  *Client
	poller  *Client
	sent    atomic.Int64
	stop    context.CancelFunc
	sending sync.WaitGroup
	polling sync.WaitGroup

	mu          sync.Mutex
	requests    []*Request   // guarded by mu
	submissions []Submission // guarded by mu
	polls       []Poll       // guarded by mu
}

// Start starts sending.
func (l *Load) Start(ctx context.Context) {
	connections := l.Connections
	if connections == 0 {
		connections = 256
	}
	l.sender, l.poller = NewClient(connections), NewClient(2*connections)
	sending, stop := context.WithCancel(ctx)
	l.stop = stop
	l.sending.Go(func() { l.send(ctx, sending) })
}

// Stop stops sending and waits until all requests have ended, or until their clients give up.
func (l *Load) Stop() {
	l.stop()
	l.sending.Wait()
	l.polling.Wait()
	l.sender.Close()
	l.poller.Close()
}

// Sent returns the number of images sent.
func (l *Load) Sent() int { return int(l.sent.Load()) }

// AwaitSent waits until n images were sent, or ctx has ended.
func (l *Load) AwaitSent(ctx context.Context, n int) {
	for l.Sent() < n && ctx.Err() == nil {
		pause.For(ctx, 20*time.Millisecond)
	}
}

func (l *Load) send(ctx, sending context.Context) {
	pace := time.NewTicker(time.Second / time.Duration(l.PerSecond))
	defer pace.Stop()
	places := make(chan struct{}, inFlight)
	for i := 0; ; i++ {
		select {
		case <-sending.Done():
			return
		case <-pace.C:
		}
		select {
		case <-sending.Done():
			return
		case places <- struct{}{}:
		}
		l.sent.Add(1)
		l.polling.Go(func() {
			defer func() { <-places }()
			l.one(ctx, i)
		})
	}
}

// Image returns the i-th image of a load: noise, so that damage to any byte is detected. One in ten repeats an
// earlier one.
func (l *Load) Image(i int) []byte {
	if rand.New(rand.NewPCG(l.Seed, uint64(i))).IntN(10) == 0 {
		i -= i % 10
	}
	noise := rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "image %d of %s, seed %d", i, l.Name, l.Seed)))
	content := make([]byte, imageBytes)
	_, _ = noise.Read(content) // never fails
	return content
}

// key returns the idempotency key of the i-th request. Every other request of a load without Retry has none.
func (l *Load) key(i int) string {
	if !l.Retry && i%2 == 1 {
		return ""
	}
	return fmt.Sprintf("%s-%d-%d", l.Name, l.Seed, i)
}

func (l *Load) one(ctx context.Context, i int) {
	image := l.Image(i)
	r := &Request{Index: i, Label: Label(image)}
	l.mu.Lock()
	l.requests = append(l.requests, r)
	l.mu.Unlock()
	home, accepted := l.submit(ctx, r, image)
	if !accepted {
		return
	}
	next := (home + 1) % len(l.URLs)
	l.poll(ctx, r, next, 0)
	l.poll(ctx, r, home, 0)
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for d := next; limited.Err() == nil; d = (d + 1) % len(l.URLs) {
		a := l.poll(limited, r, d, pollWait)
		if a.Ended() {
			return
		}
		if a.HTTPStatus != 200 {
			pause.For(limited, 300*time.Millisecond)
		}
	}
}

// submit sends the image, once or until it is accepted, and returns the dispatcher that accepted it.
func (l *Load) submit(ctx context.Context, r *Request, image []byte) (dispatcher int, accepted bool) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rng := rand.New(rand.NewPCG(l.Seed, uint64(r.Index)))
	for d := r.Index % len(l.URLs); limited.Err() == nil; d = (d + 1) % len(l.URLs) {
		s := Submission{Request: r.Index, Dispatcher: d, Sent: time.Now()}
		s.Answer = l.sender.Submit(ctx, l.URLs[d], image, l.key(r.Index))
		s.Done = time.Now()
		accepted := s.Answer.Accepted()
		l.mu.Lock()
		l.submissions = append(l.submissions, s)
		if accepted {
			r.ID, r.Accepted = s.Answer.RequestID, s.Done
		}
		l.mu.Unlock()
		if accepted || !l.Retry || !retryable(s.Answer) {
			return d, accepted
		}
		pause.For(limited, retryPause(s.Answer, rng.Float64()))
	}
	return 0, false
}

// retryPause returns how long a well-behaved client waits before it resends an image: what Retry-After says, but at
// most two seconds, randomized between half and all of it, so that clients do not synchronize; 0.2 s if there was no
// response.
func retryPause(a Answer, random float64) time.Duration {
	pause := 200 * time.Millisecond
	if seconds, err := strconv.Atoi(a.RetryAfter); err == nil {
		pause = min(time.Duration(seconds)*time.Second, 2*time.Second)
	}
	return time.Duration(float64(pause) * (1 + random) / 2)
}

// retryable reports whether a well-behaved client resends the image.
func retryable(a Answer) bool { return a.HTTPStatus == 0 || a.HTTPStatus == 503 }

// poll reads the result once, records it, and keeps the first end of the request.
func (l *Load) poll(ctx context.Context, r *Request, d int, wait time.Duration) Answer {
	p := Poll{Request: r.Index, Dispatcher: d, Sent: time.Now()}
	a := l.poller.Result(ctx, l.URLs[d], r.ID, wait)
	p.Done, p.HTTPStatus, p.RetryAfter, p.Err = time.Now(), a.HTTPStatus, a.RetryAfter != "", a.Err
	if ctx.Err() != nil && a.HTTPStatus == 0 {
		return a // cut off by the client, not by the dispatcher
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.polls = append(l.polls, p)
	if a.Ended() {
		if r.End.Status == "" {
			r.End, r.EndSeen = a, p.Done
		} else {
			r.Again = append(r.Again, a)
		}
	}
	return a
}

// Audit reads every accepted request at every dispatcher once more, after Stop. It waits up to wait for the end of
// each.
func (l *Load) Audit(ctx context.Context, wait time.Duration) {
	var asking sync.WaitGroup
	places := make(chan struct{}, 16)
	for _, r := range l.Requests() {
		if r.ID == "" {
			continue
		}
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			for _, base := range l.URLs {
				r.Again = append(r.Again, l.poller.Result(ctx, base, r.ID, wait))
			}
		})
	}
	asking.Wait()
	l.poller.Close()
}

// Requests returns the requests sent. Their fields change until Stop has returned.
func (l *Load) Requests() []*Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Request(nil), l.requests...)
}

// Submissions returns the responses so far, in order.
func (l *Load) Submissions() []Submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Submission(nil), l.submissions...)
}

// Polls returns the responses so far, in order.
func (l *Load) Polls() []Poll {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Poll(nil), l.polls...)
}

// Served reports whether every dispatcher has accepted an image that was sent after t.
func (l *Load) Served(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	served := map[int]bool{}
	for i := len(l.submissions) - 1; i >= 0 && l.submissions[i].Done.After(t); i-- {
		if s := l.submissions[i]; s.Sent.After(t) && s.Answer.Accepted() {
			served[s.Dispatcher] = true
		}
	}
	return len(served) == len(l.URLs)
}
