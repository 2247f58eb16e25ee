//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// connections opens n connections to the dispatcher, sends the same text on each, and keeps them open for a time.
// keep is called for each, in its own goroutine, with a context that ends after that time; it may be nil.
func (s *system) connections(ctx context.Context, n int, say string, length time.Duration, keep func(context.Context, net.Conn)) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var open sync.WaitGroup
	addr := strings.TrimPrefix(s.urls[0], "http://")
	for range n {
		open.Go(func() {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return // the dispatcher accepts no more
			}
			defer conn.Close()
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(4096) // the kernel may use a larger buffer
			}
			if _, err := conn.Write([]byte(say)); err != nil {
				return
			}
			if keep != nil {
				keep(ctx, conn)
			}
			<-ctx.Done()
		})
	}
	open.Wait()
}

// idleConnections opens more connections than the dispatcher has file descriptors.
func idleConnections(ctx context.Context, s *system) {
	s.connections(ctx, maxFDs+76, "", 9*time.Second, nil)
}

func uploadHead(bytes int) string {
	return fmt.Sprintf("POST /predict_async HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", bytes)
}

// slowUploads sends 64 images at 4 KB/s.
func slowUploads(ctx context.Context, s *system) {
	s.connections(ctx, 64, uploadHead(100_000), 6*time.Second, func(ctx context.Context, conn net.Conn) {
		piece := make([]byte, 400)
		for ctx.Err() == nil {
			if _, err := conn.Write(piece); err != nil {
				return // the dispatcher has cut the connection
			}
			pause.For(ctx, 100*time.Millisecond)
		}
	})
}

// silentUploads announces 300 images and sends none.
func silentUploads(ctx context.Context, s *system) {
	s.connections(ctx, 300, uploadHead(100_000), 6*time.Second, nil)
}

// unreadLists requests 400 long lists and reads none.
func unreadLists(ctx context.Context, s *system) {
	s.connections(ctx, 400, "GET /results?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n", 6*time.Second, nil)
}
