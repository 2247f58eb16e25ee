package harness

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// Holder is one connection of a client that occupies a resource. It returns when the server has closed it, or when
// ctx has ended; it calls held once it occupies the resource.
type Holder func(ctx context.Context, c net.Conn, held func()) error

// Hold keeps n holders running, each of which reconnects after being cut off, until the returned function is called.
// It returns when each has occupied its resource, or after ten seconds.
func Hold(t testing.TB, dialer net.Dialer, addr string, n int, h Holder) (stop func()) {
	t.Helper()
	dialer.Timeout = 5 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var held atomic.Int64
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				if c, err := dialer.DialContext(ctx, "tcp", addr); err == nil {
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

// Upload sends an image of n bytes at the given rate in bytes per second; 0 sends none of it.
func Upload(path string, n, perSecond int) Holder {
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

// Burst sends three quarters of an image immediately and then nothing.
func Burst(path string, n int) Holder {
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

// SlowHeaders sends headers that never end, a few bytes per second.
func SlowHeaders(ctx context.Context, c net.Conn, held func()) error {
	_, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: localhost\r\n")
	held()
	for err == nil && ctx.Err() == nil {
		_, err = io.WriteString(c, "X: y\r\n")
		pause.For(ctx, time.Second)
	}
	return err
}

// Ask sends a request, and leaves the response to then.
func Ask(request string, then func(ctx context.Context, c net.Conn) error) Holder {
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

// Leave reads nothing.
func Leave(ctx context.Context, _ net.Conn) error {
	pause.For(ctx, time.Minute)
	return nil
}

// Read reads until the server closes the connection.
func Read(_ context.Context, c net.Conn) error { return drain(c) }

func drain(c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}
