//go:build kubernetes

package kubernetes

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
)

// load sends different images at a constant rate and follows each to its end.
type load struct {
	client    client.Client // sends each image once
	image     []byte
	perSecond atomic.Int64
	// tolerant means that submissions may fail: at most 1 % of those of any minute.
	tolerant bool
	stop     context.CancelFunc
	wg       sync.WaitGroup

	sent, completed, refused atomic.Int64
	mu                       sync.Mutex
	seconds                  []second // guarded by mu: what was sent in each second
	failed                   []string // guarded by mu: why submissions failed that were not refused for lack of room
	lost                     []string // guarded by mu: why images that were accepted have no result
	slowest                  time.Duration
}

// second counts submissions of a second, and those that were not accepted.
type second struct{ sent, refused int }

// startLoad sends to the dispatcher until end is called.
func startLoad(t *testing.T, c *cluster, perSecond int64) *load {
	t.Helper()
	l := &load{client: client.Client{BaseURL: c.dispatcherURL(t)}}
	l.start(t, perSecond)
	return l
}

func (l *load) start(t *testing.T, perSecond int64) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l.image, l.stop = picture(t), stop
	l.perSecond.Store(perSecond)
	l.wg.Go(func() { l.run(ctx) })
	t.Cleanup(func() { stop(); l.wg.Wait() })
}

// picture returns a JPEG.
func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 320, 240)), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// dispatcherURL returns the address of the dispatcher's Service or, without kube-proxy, of its pod.
func (c *cluster) dispatcherURL(t *testing.T) string {
	t.Helper()
	if len(c.nodes) > 0 {
		return "http://dispatcher-service." + c.namespace + ":8080"
	}
	url := ""
	eventually(t, timeout, "the dispatcher's address", func() error {
		addresses, err := c.readyAddresses(t.Context(), "dispatcher-service", "")
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
	begun := time.Now()
	next := begun
	for ctx.Err() == nil {
		next = next.Add(time.Second / time.Duration(max(1, l.perSecond.Load())))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
		n := l.sent.Add(1)
		at := int(time.Since(begun) / time.Second)
		l.count(at, second{sent: 1})
		l.wg.Go(func() {
			if !l.one(context.WithoutCancel(ctx), n) {
				l.count(at, second{refused: 1})
			}
		})
	}
}

// count adds to what happened in a second.
func (l *load) count(at int, more second) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.seconds) <= at {
		l.seconds = append(l.seconds, second{})
	}
	l.seconds[at].sent += more.sent
	l.seconds[at].refused += more.refused
}

// one sends a unique image, for which it uses that data after a JPEG's end is ignored, and reports whether it was accepted.
func (l *load) one(ctx context.Context, n int64) (accepted bool) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	ticket, err := l.client.Submit(ctx, resnet18cloud.Image{Name: fmt.Sprint(n, ".jpg"), Bytes: binary.LittleEndian.AppendUint64(bytes.Clone(l.image), uint64(n))}, client.Options{})
	if client.IsFull(err) {
		l.refused.Add(1)
		return false
	}
	if err != nil {
		l.note(&l.failed, "image %d: submit after %s: %v", n, time.Since(start).Round(time.Millisecond), err)
		return false
	}
	// Whoever asks for a result asks again when the connection breaks.
	patient := l.client
	patient.Retry = client.Retry{Attempts: math.MaxInt}
	outcome, err := patient.Wait(ctx, ticket.RequestID)
	switch {
	case err != nil:
		l.note(&l.lost, "image %d: wait: %v", n, err)
	case outcome.Status != resnet18cloud.StatusCompleted:
		l.note(&l.lost, "image %d: %s: %v", n, outcome.Status, outcome.Err)
	default:
		l.completed.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, time.Since(start))
	return true
}

func (l *load) note(notes *[]string, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*notes = append(*notes, fmt.Sprintf(format, args...))
}

// end stops sending, waits for requests in flight, and checks that nothing was lost.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	worst := worstMinute(l.seconds)
	t.Logf("%d images sent in %d s: %d completed, %d refused for lack of room, %d submissions failed, %d lost; the worst minute refused %.2f %%; the slowest image took %s",
		l.sent.Load(), len(l.seconds), l.completed.Load(), l.refused.Load(), len(l.failed), len(l.lost), 100*worst, l.slowest.Round(time.Millisecond))
	for _, why := range l.failed[:min(len(l.failed), 5)] {
		t.Log(why)
	}
	for _, why := range l.lost[:min(len(l.lost), 10)] {
		t.Error(why)
	}
	if !l.tolerant && len(l.failed) > 0 {
		t.Errorf("%d submissions failed, want none", len(l.failed))
	}
	if l.tolerant && worst > 0.01 {
		t.Errorf("%.2f %% of a minute's submissions were refused, want at most 1 %%", 100*worst)
	}
	if got, want := l.completed.Load(), l.sent.Load()-l.refused.Load()-int64(len(l.failed)); got != want || got == 0 {
		t.Errorf("%d completed, want all of the %d that were accepted", got, want)
	}
}

// worstMinute returns the largest share of submissions refused in 60 seconds in a row, or in all if there are fewer.
func worstMinute(seconds []second) float64 {
	var worst float64
	var window second
	for i, s := range seconds {
		window.sent += s.sent
		window.refused += s.refused
		if i >= 60 {
			window.sent -= seconds[i-60].sent
			window.refused -= seconds[i-60].refused
		}
		if i >= 59 || i == len(seconds)-1 {
			worst = max(worst, float64(window.refused)/float64(max(1, window.sent)))
		}
	}
	return worst
}

// TestWorstMinute checks that a minute may begin with any second.
func TestWorstMinute(t *testing.T) {
	t.Parallel()
	// steady is n seconds of 20 submissions.
	steady := func(n, refused int) []second {
		all := make([]second, n)
		for i := range all {
			all[i] = second{20, refused}
		}
		return all
	}
	for _, test := range []struct {
		name    string
		seconds []second
		want    float64
	}{
		{"none", nil, 0},
		{"short", slices.Concat(steady(9, 0), steady(1, 20)), 0.1},
		{"across the end of the first minute", slices.Concat(steady(55, 0), steady(10, 6), steady(55, 0)), 0.05},
		{"two apart", slices.Concat(steady(1, 12), steady(60, 0), steady(1, 12), steady(60, 0)), 0.01},
	} {
		if got := worstMinute(test.seconds); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
