//go:build kubernetes

package kubernetes

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
)

// load sends different images at a constant rate and follows each to its end.
type load struct {
	client    client.Client
	image     []byte
	perSecond atomic.Int64
	stop      context.CancelFunc
	wg        sync.WaitGroup

	sent, completed, refused atomic.Int64
	mu                       sync.Mutex
	lost                     []string // guarded by mu: a reason for each
	slowest                  time.Duration
}

// startLoad sends to the dispatcher until end is called.
func startLoad(t *testing.T, c *cluster, perSecond int64) *load {
	t.Helper()
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 320, 240)), nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	l := &load{client: client.Client{BaseURL: c.dispatcherURL(t)}, image: picture.Bytes(), stop: stop}
	l.perSecond.Store(perSecond)
	l.wg.Go(func() { l.run(ctx) })
	t.Cleanup(func() { stop(); l.wg.Wait() })
	return l
}

func (c *cluster) dispatcherURL(t *testing.T) string {
	t.Helper()
	url := ""
	eventually(t, timeout, "the dispatcher's address", func() error {
		addresses, err := c.readyAddresses(t.Context(), "dispatcher-service")
		if err == nil && len(addresses) != 1 {
			err = fmt.Errorf("addresses %v", addresses)
		}
		if err == nil {
			url = fmt.Sprintf("http://%s:8080", addresses[0])
		}
		return err
	})
	return url
}

func (l *load) run(ctx context.Context) {
	next := time.Now()
	for ctx.Err() == nil {
		next = next.Add(time.Second / time.Duration(max(1, l.perSecond.Load())))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
		n := l.sent.Add(1)
		l.wg.Go(func() { l.one(context.WithoutCancel(ctx), n) })
	}
}

// one sends a unique image: data after a JPEG's end is ignored.
func (l *load) one(ctx context.Context, n int64) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	ticket, err := l.client.Submit(ctx, resnet18cloud.Image{Name: fmt.Sprint(n, ".jpg"), Bytes: binary.LittleEndian.AppendUint64(bytes.Clone(l.image), uint64(n))}, client.Options{})
	if client.IsFull(err) {
		l.refused.Add(1)
		return
	}
	if err != nil {
		l.lose("image %d: submit: %v", n, err)
		return
	}
	outcome, err := l.client.Wait(ctx, ticket.RequestID)
	switch {
	case err != nil:
		l.lose("image %d: wait: %v", n, err)
	case outcome.Status != resnet18cloud.StatusCompleted:
		l.lose("image %d: %s: %v", n, outcome.Status, outcome.Err)
	default:
		l.completed.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, time.Since(start))
}

func (l *load) lose(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, fmt.Sprintf(format, args...))
}

// end stops sending, waits for requests in flight, and checks that nothing was lost.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%d images sent: %d completed, %d refused for lack of room, %d lost; the slowest took %s",
		l.sent.Load(), l.completed.Load(), l.refused.Load(), len(l.lost), l.slowest.Round(time.Millisecond))
	for _, why := range l.lost[:min(len(l.lost), 10)] {
		t.Error(why)
	}
	if got, want := l.completed.Load(), l.sent.Load()-l.refused.Load(); got != want || got == 0 {
		t.Errorf("%d completed, want all of the %d that were not refused", got, want)
	}
}
