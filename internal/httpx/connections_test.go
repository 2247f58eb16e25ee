package httpx

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	for files, want := range map[uint64]int{0: 8192, 20: 16, 64: 16, 100: 36, 256: 192, 1024: 768, 20000: 8192, 1 << 63: 8192} {
		if got := connectionLimit(files); got != want {
			t.Errorf("connectionLimit(%d) = %d, want %d", files, got, want)
		}
	}
}

// TestFirstToEnd checks which connection of a server is evicted.
func TestFirstToEnd(t *testing.T) {
	t.Parallel()
	now := time.Now()
	is := func(p phase, d time.Duration) activity { return activity{phase: p, since: now.Add(-d)} }
	yields := func(h activity) activity { h.yield = func() {}; return h }
	poll := func(d time.Duration) activity { return yields(is(waiting, d)) }
	upload := func(grace, silent time.Duration) activity {
		h := yields(is(uploading, silent))
		h.grace = grace
		return h
	}
	left := poll(time.Minute)
	left.leaving = true
	tests := map[string]struct {
		held   []activity
		want   int // when the limit is near; -1 means none
		scarce int // when the limit is reached
	}{
		"none":                            {nil, -1, -1},
		"all are served":                  {[]activity{is(serving, time.Hour), is(serving, time.Minute)}, -1, -1},
		"idle longest":                    {[]activity{is(serving, time.Hour), is(idle, 2*time.Second), is(idle, 3*time.Second)}, 2, 2},
		"idle for a moment":               {[]activity{is(idle, time.Second)}, -1, 0},
		"slow headers before idle":        {[]activity{is(idle, 11*time.Second), is(receiving, 2*time.Second)}, 1, 1},
		"long idle before headers":        {[]activity{is(idle, 13*time.Second), is(receiving, time.Second)}, 0, 0},
		"longest without headers":         {[]activity{is(receiving, time.Second), is(receiving, 3*time.Second), is(receiving, 2*time.Second)}, 1, 1},
		"just connected":                  {[]activity{is(serving, time.Hour), is(receiving, 900*time.Millisecond)}, -1, 1},
		"oldest of those":                 {[]activity{is(receiving, 50*time.Millisecond), is(receiving, 60*time.Millisecond)}, -1, 1},
		"just idle before just connected": {[]activity{is(idle, time.Second), is(receiving, 50*time.Millisecond)}, -1, 0},
		"reads its answer":                {[]activity{is(writing, time.Second)}, -1, -1},
		"does not read its answer":        {[]activity{is(writing, 2*time.Second), is(serving, time.Hour)}, 0, 0},
		"rejected and still sending":      {[]activity{is(receiving, 9*time.Second), is(discarding, 0)}, 1, 1},
		"waits, and cannot be closed":     {[]activity{poll(0), is(serving, 0)}, 0, -1},
		"waits longest":                   {[]activity{poll(time.Second), poll(2 * time.Second)}, 1, -1},
		"idle before waiting":             {[]activity{poll(time.Minute), is(idle, 20*time.Second)}, 1, 1},
		"waiting before new":              {[]activity{poll(0), is(receiving, 900*time.Millisecond)}, 0, 1},
		"leaves already":                  {[]activity{left, poll(time.Second)}, 1, -1},
		"upload has just begun":           {[]activity{upload(initialGrace, 20*time.Millisecond)}, -1, -1},
		"upload sends nothing":            {[]activity{upload(initialGrace, time.Second), upload(initialGrace, 2*time.Second)}, 1, -1},
		"upload is slow":                  {[]activity{upload(2*time.Second, 0), upload(3*time.Second, 0)}, 0, -1},
		"upload is fast":                  {[]activity{upload(maxGrace, 4*time.Second)}, -1, -1},
		"silent upload before headers":    {[]activity{upload(initialGrace, time.Second), is(receiving, 1500*time.Millisecond)}, 0, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &connections{times: times{header: 10 * time.Second, idle: 120 * time.Second, write: 30 * time.Second}, open: map[*conn]struct{}{}}
			conns := make([]*conn, len(test.held))
			for i, h := range test.held {
				conns[i] = &conn{activity: h}
				s.open[conns[i]] = struct{}{}
			}
			for scarce, want := range map[bool]int{false: test.want, true: test.scarce} {
				if got := slices.Index(conns, s.first(now, scarce)); got != want {
					t.Errorf("scarce=%t: first to end is %d, want %d", scarce, got, want)
				}
			}
		})
	}
}

// get requests / on the connection and returns the status.
func get(c net.Conn) (int, error) {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// TestIdleConnectionsMakeRoom checks that clients that connect, connect and send one request, or start a request, do
// not block others, and that a connection in constant use is never closed.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]func(c net.Conn) error{
		"silent":       func(net.Conn) error { return nil },
		"asked once":   func(c net.Conn) error { _, err := get(c); return err },
		"no body":      func(c net.Conn) error { _, err := io.WriteString(c, head(1000)); return err },
		"slow headers": func(c net.Conn) error { _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Server{MaxConnections: 8, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
			inVirtualTime(t, s, func(t *testing.T, p *pipes) {
				used := p.dial()
				defer used.Close()
				for range 40 {
					held := p.dial()
					defer held.Close()
					if err := idle(held); err != nil {
						t.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond)
					if status, err := get(used); status != http.StatusOK {
						t.Fatalf("on the connection in use: %d %v", status, err)
					}
				}
				synctest.Wait()
			})
		})
	}
}

// TestFullServerRefuses checks that a client beyond the limit is rejected immediately while all others are served.
func TestFullServerRefuses(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	addr := serve(t, &Server{MaxConnections: 3, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	})})
	var all sync.WaitGroup
	defer all.Wait()
	defer close(release)
	for range 3 {
		c := dial(t, addr)
		all.Go(func() {
			if status, err := get(c); status != http.StatusOK {
				t.Errorf("served: %d %v", status, err)
			}
		})
		<-entered
	}
	response, err := http.ReadResponse(bufio.NewReader(dial(t, addr)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "1" ||
		!strings.Contains(string(body), `"code":"full"`) || err != nil {
		t.Errorf("beyond the bound: %d %v %s %v", response.StatusCode, response.Header, body, err)
	}
}

// TestLongPollsYield checks that waiting handlers respond early when connections become scarce, the longest wait
// first, so that waiting clients do not block others.
func TestLongPollsYield(t *testing.T) {
	t.Parallel()
	var polls atomic.Int32
	s := &Server{MaxConnections: 16, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}
		polls.Add(1)
		ctx, done := Yielding(r.Context())
		defer done()
		select {
		case <-ctx.Done():
		case <-time.After(time.Hour):
		}
	})}
	inVirtualTime(t, s, func(t *testing.T, p *pipes) {
		var all sync.WaitGroup
		for i := range 100 {
			c := p.dial()
			all.Go(func() {
				defer c.Close()
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\n\r\n")
				if status, _, err := readAnswer(c); status != http.StatusOK {
					t.Errorf("long-poll %d: %d %v", i, status, err)
				}
			})
			time.Sleep(time.Millisecond)
			other := p.dial()
			if status, err := get(other); status != http.StatusOK {
				t.Errorf("beside %d long-polls: %d %v", i, status, err)
			}
			other.Close()
		}
		if n := polls.Load(); n != 100 {
			t.Errorf("%d long-polls were served, want 100", n)
		}
		time.Sleep(time.Hour)
		all.Wait()
	})
}

// TestSilentUploadsYield checks that uploads whose clients send nothing are evicted, with an error response.
func TestSilentUploadsYield(t *testing.T) {
	t.Parallel()
	s := uploadServer(NewUploads(UploadLimits{}))
	s.MaxConnections = 16
	inVirtualTime(t, s, func(t *testing.T, p *pipes) {
		var all sync.WaitGroup
		for range 100 {
			c := p.dial()
			_, _ = io.WriteString(c, head(100))
			all.Go(func() {
				defer c.Close()
				if status, body, err := readAnswer(c); status != http.StatusServiceUnavailable || !strings.Contains(body, "Too many connections") {
					if status != http.StatusRequestTimeout { // the last ones
						t.Errorf("silent upload: %d %s %v", status, body, err)
					}
				}
			})
			time.Sleep(100 * time.Millisecond)
			good := p.dial()
			_, _ = io.WriteString(good, head(100)+strings.Repeat("x", 100))
			if status, body, err := readAnswer(good); status != http.StatusOK {
				t.Errorf("good upload: %d %s %v", status, body, err)
			}
			good.Close()
		}
		all.Wait()
	})
}

// failing is a listener whose Accept fails a few times.
type failing struct {
	*pipes
	errs chan error
}

func (f *failing) Accept() (net.Conn, error) {
	select {
	case err := <-f.errs:
		return nil, err
	default:
		return f.pipes.Accept()
	}
}

// TestAcceptErrorsPass checks that a lack of file descriptors, and errors on which net/http would stop, neither stop
// the server nor make it spin, and that idle connections are closed to free descriptors.
func TestAcceptErrorsPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log testutil.Log
		f := &failing{&pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}, make(chan error, 20)}
		s := &Server{listener: f, Log: slog.New(slog.NewTextHandler(&log, nil)), Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		idle := f.dial()
		defer idle.Close()
		if status, err := get(idle); status != http.StatusOK {
			t.Fatalf("before: %d %v", status, err)
		}
		for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, errors.New("unknown")} {
			f.errs <- fmt.Errorf("accept: %w", err)
		}
		start := time.Now()
		next := f.dial() // accepted before the errors
		defer next.Close()
		last := f.dial()
		defer last.Close()
		if status, err := get(last); status != http.StatusOK {
			t.Errorf("after: %d %v", status, err)
		}
		if took := time.Since(start); took != (5+10+20+40)*time.Millisecond {
			t.Errorf("four errors were waited out in %s, want 5 + 10 + 20 + 40 ms", took)
		}
		if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the idle connection ends with %v, want EOF", err)
		}
		if n := strings.Count(log.String(), "accepting a connection failed"); n != 4 {
			t.Errorf("%d lines in the log, want 4:\n%s", n, log.String())
		}
		for range 20 { // the longest delay does not delay shutdown
			f.errs <- syscall.EMFILE
		}
		go func() { _ = f.dial() }()
		time.Sleep(5 * time.Second)
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}
