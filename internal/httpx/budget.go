package httpx

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

const (
	// pressure is the multiple of the minimum rate that an upload must reach while others wait for memory.
	pressure = 8
	// roomTimeout is how long an upload waits for memory that others hold.
	roomTimeout = 3 * time.Second
)

// budget limits the memory of all uploads. An upload takes memory as its bytes arrive. When the budget is used up,
// slow uploads are cut off and the others wait: a client that sends fast enough gets memory, however many slow ones
// there are.
type budget struct {
	limit   int64
	minRate int64 // bytes per second; 0 disables the limit

	mu      sync.Mutex
	held    int64                // guarded by mu: bytes of all uploads, including completed and cut ones
	reading map[*upload]struct{} // guarded by mu: uploads that are being received
	changed chan struct{}        // guarded by mu: closed and replaced when memory is released or an upload is cut
}

func newBudget(limit, minRate int64) *budget {
	return &budget{limit: limit, minRate: minRate, reading: map[*upload]struct{}{}, changed: make(chan struct{})}
}

// take reserves n more bytes for u, waiting for them if necessary. It returns a 503 error if there are none in time,
// or if u itself is cut.
func (b *budget) take(ctx context.Context, u *upload, n int64) error {
	changed, err := b.tryTake(u, n)
	if changed == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, roomTimeout)
	defer cancel()
	for changed != nil {
		select {
		case <-changed:
		case <-ctx.Done():
			return errNoRoom(context.Cause(ctx))
		}
		changed, err = b.tryTake(u, n)
	}
	return err
}

// tryTake reserves n more bytes for u. If there are none it cuts slow uploads, and returns a channel that is closed
// when there may be some.
func (b *budget) tryTake(u *upload, n int64) (<-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.cut != nil {
		return nil, u.cut
	}
	missing := b.held + n - room(b.limit, n)
	if missing <= 0 {
		b.held += n
		u.held += n
		return nil, nil
	}
	b.makeRoom(time.Now(), missing)
	if u.cut != nil {
		return nil, u.cut
	}
	return b.changed, nil
}

// room returns how much of the limit may be used when adding a buffer of n bytes: the last quarter is reserved for
// images of at most 256 KiB, which most are, so that they do not wait for large ones.
func room(limit, n int64) int64 {
	if n > pooledBytes {
		return limit - limit/4
	}
	return limit
}

// plenty reports whether so little memory is in use that even idle clients may have larger buffers.
func (b *budget) plenty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held < b.limit/8
}

// give releases n bytes of u.
func (b *budget) give(u *upload, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= n
	u.held -= n
	b.announce()
}

// announce wakes waiting uploads. The caller holds mu.
func (b *budget) announce() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// makeRoom cuts slow uploads until missing bytes are or will be free. The caller holds mu.
func (b *budget) makeRoom(now time.Time, missing int64) {
	uploads := make([]*upload, 0, len(b.reading))
	portions := make([]portion, 0, len(b.reading))
	for u := range b.reading {
		uploads = append(uploads, u)
		portions = append(portions, portion{held: u.held, rate: u.pace.rate(u.silence(now)), cut: u.cut != nil})
	}
	for _, i := range slowest(portions, missing, float64(pressure*b.minRate)) {
		uploads[i].cutOff(errNoRoom(errCut))
	}
}

// portion describes an upload for the choice of uploads to cut.
type portion struct {
	held int64   // bytes
	rate float64 // already cut: releases its bytes soon
	cut  bool    // gives its bytes back soon
}

// slowest selects uploads that are slower than the given rate, slowest first, until together with those already cut
// they hold the missing bytes. It returns their indices.
func slowest(portions []portion, missing int64, slow float64) []int {
	var picked []int
	for i, s := range portions {
		switch {
		case s.cut:
			missing -= s.held
		case s.held > 0 && s.rate < slow:
			picked = append(picked, i)
		}
	}
	slices.SortFunc(picked, func(a, b int) int { return cmp.Compare(portions[a].rate, portions[b].rate) })
	for n, i := range picked {
		if missing <= 0 {
			return picked[:n]
		}
		missing -= portions[i].held
	}
	return picked
}

// errCut is the cause if an upload is cut off.
var errCut = errors.New("upload was cut")

// errNoRoom rejects an upload for lack of memory.
func errNoRoom(cause error) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "No memory available for uploads",
		Hint: "retry after retry_after seconds", RetryAfter: time.Second, Err: cause}
}

// nextSize returns the next buffer size after have bytes, for a body that announces its size (-1 if it does not) and
// has at most limit bytes. A client gets 32 KiB for its first byte, or 256 KiB if plenty of memory is free, then
// eight times what it has sent, 256 KiB, 2 MiB, and finally exactly the announced size. Without an announced size it
// gets twice what it has sent beyond 256 KiB.
//
// If memory is not plenty, there is no step between 256 KiB and the announced size: many large uploads would take 2 MiB
// each, use up the memory, and none could get the rest. So those that have their memory finish, and the others hold 256
// KiB while they wait.
func nextSize(have, announced, limit int64, plenty bool) int64 {
	switch {
	case have == 0 && plenty && announced > firstBytes:
		return pooledBytes
	case have < pooledBytes:
		return max(firstBytes, 8*have)
	case announced < 0:
		return min(2*have, limit)
	case announced <= have: // it sends more than it announced
		return min(8*have, limit)
	case plenty:
		return min(8*have, announced, limit)
	}
	return min(announced, limit)
}
