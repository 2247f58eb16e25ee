package httpx

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// uploadServer responds to POST with the size of the image.
func uploadServer(u *Uploads) *Server {
	return &Server{Handler: Handler(slog.New(slog.DiscardHandler), func(w http.ResponseWriter, r *http.Request) error {
		return u.Image(w, r, func(image resnet18cloud.Image) error {
			WriteJSON(w, http.StatusOK, len(image.Bytes))
			return nil
		})
	})}
}

// head returns the headers of an upload of n bytes.
func head(n int) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", n)
}

// trickle sends portions at an interval until n bytes are sent or the connection is closed.
func trickle(c net.Conn, n, portion int, every time.Duration) {
	for ; n > 0; n -= portion {
		if _, err := c.Write(make([]byte, min(n, portion))); err != nil {
			return
		}
		time.Sleep(every)
	}
}

// TestSlowUploads checks when clients are cut off, in virtual time, and the response.
func TestSlowUploads(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rate    int64
		n       int
		send    func(c net.Conn)
		chunked bool
		status  int
		after   time.Duration
		says    string
	}{
		"silent":        {0, 100, func(net.Conn) {}, false, 408, 5 * time.Second, `"Upload is slower than 16 KiB/s"`},
		"4 KiB/s":       {0, 100 << 10, func(c net.Conn) { trickle(c, 100<<10, 1<<10, time.Second/4) }, false, 408, 6687 * time.Millisecond, `"code":"slow"`},
		"20 KiB/s":      {0, 100 << 10, func(c net.Conn) { trickle(c, 100<<10, 5<<10, time.Second/4) }, false, 200, 4750 * time.Millisecond, "102400"},
		"stops":         {0, 8 << 20, func(c net.Conn) { trickle(c, 1<<20, 1<<20, 0) }, false, 408, 10 * time.Second, ""},
		"own rate":      {1 << 10, 100 << 10, func(c net.Conn) { trickle(c, 100<<10, 1<<10, time.Second/4) }, false, 200, 24750 * time.Millisecond, "102400"},
		"any rate":      {-1, 100, func(net.Conn) {}, false, 408, longestUpload, `"Upload takes longer than 10m0s"`},
		"stops, chunks": {0, 0, func(c net.Conn) { _, _ = io.WriteString(c, "5\r\nhello\r\n") }, true, 408, 5 * time.Second, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uploads := NewUploads(UploadLimits{Rate: test.rate})
			inVirtualTime(t, uploadServer(uploads), func(t *testing.T, p *pipes) {
				c := p.dial()
				start := time.Now()
				text := head(test.n)
				if test.chunked {
					text = strings.Replace(text, "Content-Length: 0", "Transfer-Encoding: chunked", 1)
				}
				if _, err := io.WriteString(c, text); err != nil {
					t.Fatal(err)
				}
				var sender sync.WaitGroup
				sender.Go(func() { test.send(c) })
				defer sender.Wait()
				defer c.Close()
				status, body, err := readAnswer(c)
				after := time.Since(start)
				if err != nil || status != test.status || !strings.Contains(body, test.says) {
					t.Errorf("answer %d %s %v, want %d %s", status, body, err, test.status, test.says)
				}
				if d := after - test.after; d < 0 || d > 10*time.Millisecond {
					t.Errorf("after %s, want %s", after, test.after)
				}
				if held := uploads.Held(); held != 0 {
					t.Errorf("%d bytes held after the answer", held)
				}
			})
		})
	}
}

// TestRoomForGoodUploads fills the memory with uploads that are just fast enough, and checks that a fast one gets
// memory immediately, and that exactly as many slow ones as necessary are cut off with a 503.
func TestRoomForGoodUploads(t *testing.T) {
	t.Parallel()
	const image = 1 << 20
	uploads := NewUploads(UploadLimits{ImageBytes: image, TotalBytes: 22 * image})
	inVirtualTime(t, uploadServer(uploads), func(t *testing.T, p *pipes) {
		var mu sync.Mutex
		answers := map[int]int{}
		var slow sync.WaitGroup
		for i := range 16 {
			c := p.dial()
			_, _ = io.WriteString(c, head(image))
			slow.Go(func() {
				trickle(c, 300<<10, 300<<10, 0) // uses all that it announced
				trickle(c, image-300<<10, (20+i)<<10, time.Second)
			})
			slow.Go(func() {
				status, _, _ := readAnswer(c)
				c.Close()
				mu.Lock()
				defer mu.Unlock()
				answers[status]++
			})
		}
		time.Sleep(4 * time.Second)
		if held := uploads.Held(); held != 16*image {
			t.Errorf("slow uploads hold %d bytes, want all", held)
		}
		for range 3 {
			start := time.Now()
			c := p.dial()
			_, _ = io.WriteString(c, head(image))
			go trickle(c, image, 64<<10, time.Millisecond)
			if status, body, err := readAnswer(c); status != http.StatusOK || time.Since(start) > 100*time.Millisecond {
				t.Errorf("good upload: %d %s %v after %s", status, body, err, time.Since(start))
			}
			c.Close()
			if held := uploads.Held(); held > 22*image {
				t.Errorf("%d bytes held, more than the limit", held)
			}
		}
		slow.Wait()
		if answers[http.StatusServiceUnavailable] == 0 || answers[http.StatusServiceUnavailable] > 3 ||
			answers[http.StatusOK]+answers[http.StatusServiceUnavailable] != 16 {
			t.Errorf("slow uploads were answered %v, want 1 to 3 times 503, and 200", answers)
		}
	})
}

// TestGoodUploadsWait fills the memory with received images, which cannot be cut off, and checks that the next upload
// waits for one of them to end, and is rejected if none does.
func TestGoodUploadsWait(t *testing.T) {
	t.Parallel()
	const image = 1 << 20
	uploads := NewUploads(UploadLimits{ImageBytes: image, TotalBytes: 3 * image})
	release := make(chan struct{}, 2)
	s := &Server{Handler: Handler(slog.New(slog.DiscardHandler), func(w http.ResponseWriter, r *http.Request) error {
		return uploads.Image(w, r, func(resnet18cloud.Image) error {
			<-release
			w.WriteHeader(http.StatusNoContent)
			return nil
		})
	})}
	inVirtualTime(t, s, func(t *testing.T, p *pipes) {
		release = make(chan struct{}, 2) // belongs to this bubble
		send := func() net.Conn {
			c := p.dial()
			_, _ = io.WriteString(c, head(image))
			go trickle(c, image, image, 0)
			return c
		}
		first, second := send(), send()
		synctest.Wait()
		if held := uploads.Held(); held != 2*image {
			t.Fatalf("%d bytes held, want all", held)
		}
		start := time.Now()
		c := send()
		if status, body, err := readAnswer(c); status != http.StatusServiceUnavailable || !strings.Contains(body, `"retry_after":1`) || time.Since(start) != roomTimeout {
			t.Errorf("upload without room: %d %s %v after %s, want 503 after %s", status, body, err, time.Since(start), roomTimeout)
		}
		c.Close()
		c = send()
		synctest.Wait()
		for range 2 {
			release <- struct{}{}
		}
		for _, waiting := range []net.Conn{first, second} {
			if status, _, err := readAnswer(waiting); status != http.StatusNoContent {
				t.Errorf("upload that was received: %d %v", status, err)
			}
		}
		release <- struct{}{}
		if status, body, err := readAnswer(c); status != http.StatusNoContent {
			t.Errorf("upload that waited: %d %s %v", status, body, err)
		}
		for _, open := range []net.Conn{first, second, c} {
			open.Close()
		}
		synctest.Wait()
		if held := uploads.Held(); held != 0 {
			t.Errorf("%d bytes held at the end", held)
		}
	})
}

// TestManyLargeUploadsFinish sends many images of the maximum size at a time, for which there is not enough memory. Some
// get memory for all of their image and finish, so that none has to be refused.
func TestManyLargeUploadsFinish(t *testing.T) {
	t.Parallel()
	const image = 5 << 19
	uploads := NewUploads(UploadLimits{ImageBytes: image, TotalBytes: 12 * image})
	inVirtualTime(t, uploadServer(uploads), func(t *testing.T, p *pipes) {
		var clients sync.WaitGroup
		for range 40 {
			c := p.dial()
			clients.Go(func() {
				defer c.Close()
				_, _ = io.WriteString(c, head(image))
				trickle(c, image, 64<<10, time.Millisecond)
				if status, body, err := readAnswer(c); status != http.StatusOK {
					t.Errorf("upload: %d %s %v", status, body, err)
				}
			})
		}
		clients.Wait()
	})
}

// TestSilentUploadsHoldNothing checks that memory is allocated when bytes arrive, at first 256 KiB, and later for at
// most eight times as many bytes.
func TestSilentUploadsHoldNothing(t *testing.T) {
	t.Parallel()
	uploads := NewUploads(UploadLimits{})
	inVirtualTime(t, uploadServer(uploads), func(t *testing.T, p *pipes) {
		for _, test := range []struct {
			sent int
			held int64
		}{{0, 0}, {1, 256 << 10}, {256 << 10, 2 << 20}, {300 << 10, 2 << 20}} {
			c := p.dial()
			_, _ = io.WriteString(c, head(10<<20))
			_, _ = c.Write(make([]byte, test.sent))
			synctest.Wait()
			if held := uploads.Held(); held != test.held {
				t.Errorf("%d bytes are held for %d sent, want %d", held, test.sent, test.held)
			}
			c.Close()
			synctest.Wait()
			if held := uploads.Held(); held != 0 {
				t.Errorf("%d bytes are held after the client left", held)
			}
		}
	})
}

// TestUploadMemory checks that an upload uses little more memory than its image, and frees it.
func TestUploadMemory(t *testing.T) {
	const n = 10 << 20
	content := bytes.Repeat([]byte("x"), n)
	uploads := NewUploads(UploadLimits{})
	for name, contentLength := range map[string]int64{"announced": n, "chunked": -1} {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/", io.NopCloser(bytes.NewReader(content)))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = contentLength
		r.Header.Set("Content-Type", "image/jpeg")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = uploads.Image(noDeadlines{}, r, func(image resnet18cloud.Image) error {
			if held := uploads.Held(); held != n || len(image.Bytes) != n || cap(image.Bytes) != n {
				t.Errorf("%s: %d bytes held for an image of %d (capacity %d), want %d", name, held, len(image.Bytes), cap(image.Bytes), n)
			}
			return nil
		})
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; contentLength == n && took > n*13/10 {
			t.Errorf("%s: %d bytes were allocated for an image of %d", name, took, n)
		}
		if held := uploads.Held(); held != 0 {
			t.Errorf("%s: %d bytes held at the end", name, held)
		}
	}
}

// noDeadlines is a response without a connection.
type noDeadlines struct{ http.ResponseWriter }

func TestUploadLimitsAreChecked(t *testing.T) {
	t.Parallel()
	for _, limits := range []UploadLimits{{ImageBytes: -1}, {ImageBytes: 100, TotalBytes: 299}, {Rate: -2}, {TotalBytes: 1 << 20}} {
		if limits.Validate() == nil {
			t.Errorf("%+v are valid", limits)
		}
	}
	for _, limits := range []UploadLimits{{}, {ImageBytes: 100, TotalBytes: 300}, {Rate: -1}} {
		if err := limits.Validate(); err != nil {
			t.Errorf("%+v: %v", limits, err)
		}
	}
}
