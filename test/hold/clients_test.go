//go:build hold

package hold

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// holder is one connection of a client that occupies a resource. It returns when the server has closed it, or when
// ctx has ended; it calls held once it occupies the resource.
type holder func(ctx context.Context, c net.Conn, held func()) error

// hold keeps n holders running, each of which reconnects after being cut off, until the returned function is called.
// It returns when each has occupied its resource, or half of them for a while.
func hold(t *testing.T, addr string, n int, h holder) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var held atomic.Int64
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				if c, err := net.DialTimeout("tcp", addr, 5*time.Second); err == nil {
					end := context.AfterFunc(ctx, func() { _ = c.Close() })
					_ = h(ctx, c, func() { held.Add(1) }) // the server may close it
					end()
					_ = c.Close()
				}
				pause.For(ctx, 2*time.Second+rand.N(3*time.Second))
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); held.Load() < int64(n) && time.Now().Before(deadline); {
		pause.For(ctx, 10*time.Millisecond)
	}
	t.Logf("%d of %d hold something", held.Load(), n)
	return func() { cancel(); all.Wait() }
}

// upload sends an image of n bytes at the given rate in bytes per second; 0 sends none of it.
func upload(path string, n, perSecond int) holder {
	return func(ctx context.Context, c net.Conn, held func()) error {
		_, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", path, n)
		held()
		piece := make([]byte, max(1, perSecond/4))
		for sent := 0; err == nil && perSecond > 0 && sent < n; sent += len(piece) {
			_, err = c.Write(piece[:min(len(piece), n-sent)])
			pause.For(ctx, time.Second/4)
		}
		if err != nil {
			return err
		}
		return drain(c)
	}
}

// burst sends three quarters of an image immediately and then nothing.
func burst(path string, n int) holder {
	return func(_ context.Context, c net.Conn, held func()) error {
		_, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", path, n)
		if err == nil {
			_, err = c.Write(make([]byte, n*3/4))
		}
		held()
		if err != nil {
			return err
		}
		return drain(c)
	}
}

// unfinished sends headers that never end, a few bytes per second.
func unfinished(ctx context.Context, c net.Conn, held func()) error {
	_, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: localhost\r\n")
	held()
	for err == nil && ctx.Err() == nil {
		_, err = io.WriteString(c, "X: y\r\n")
		pause.For(ctx, time.Second)
	}
	return err
}

// ask sends a request, and leaves the response to then.
func ask(request string, then func(ctx context.Context, c net.Conn) error) holder {
	return func(ctx context.Context, c net.Conn, held func()) error {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4 << 10) // so that an unread response stays at the server
		}
		_, err := io.WriteString(c, request+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		held()
		if err != nil {
			return err
		}
		return then(ctx, c)
	}
}

// leave reads nothing.
func leave(ctx context.Context, _ net.Conn) error {
	pause.For(ctx, time.Minute)
	return nil
}

// read reads until the server closes the connection.
func read(_ context.Context, c net.Conn) error { return drain(c) }

func drain(c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// latencies are the latencies of well-behaved clients.
type latencies struct {
	took   []time.Duration
	errors map[string]int
}

func (f *latencies) add(other latencies) {
	f.took = append(f.took, other.took...)
	for e, n := range other.errors {
		if f.errors == nil {
			f.errors = map[string]int{}
		}
		f.errors[e] += n
	}
}

func (f latencies) quantile(q float64) time.Duration {
	slices.Sort(f.took)
	return f.took[int(q*float64(len(f.took)-1))]
}

func (f latencies) String() string {
	s := fmt.Sprintf("%d requests, p50 %s, p99 %s, most %s", len(f.took), round(f.quantile(0.5)), round(f.quantile(0.99)), round(f.quantile(1)))
	if len(f.errors) > 0 {
		s += fmt.Sprint(", errors ", f.errors)
	}
	return s
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// uploads counts the uploads of this process, to make each unique.
var uploads atomic.Int64

// measure sends the given number of images per second, on schedule, half of them on new connections, and checks each
// time whether the server is ready.
func measure(t *testing.T, addr string, perSecond int, d time.Duration) latencies {
	t.Helper()
	kept := &http.Transport{MaxIdleConnsPerHost: 100}
	defer kept.CloseIdleConnections()
	clients := []*http.Client{{Transport: kept, Timeout: time.Minute}, {Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}}
	var mu sync.Mutex
	var f latencies
	f.errors = map[string]int{}
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := range int(d.Seconds() * float64(perSecond)) {
		due := <-tick.C
		all.Go(func() {
			body := fmt.Appendf(bytes.Clone(picture), "%012d", uploads.Add(1))
			err := post(clients[i%2], "http://"+addr+"/predict", body)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			f.took = append(f.took, took)
			if err != nil {
				f.errors[err.Error()]++
			}
		})
	}
	all.Wait()
	return f
}

// post sends an image and expects 200.
func post(client *http.Client, url string, image []byte) error {
	response, err := client.Post(url, "image/jpeg", bytes.NewReader(image))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%d %s", response.StatusCode, text)
	}
	return err
}
