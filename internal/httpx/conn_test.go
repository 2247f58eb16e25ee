package httpx

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHalfClosedClientsAreAnswered checks that a client that closes its sending side after the request gets its
// response, however long that takes, and that the request's context ends if the client closes the connection.
func TestHalfClosedClientsAreAnswered(t *testing.T) {
	t.Parallel()
	left, release := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			left <- struct{}{}
		case <-release:
			_, _ = io.WriteString(w, "answer")
		}
	})
	addr := serve(t, &Server{Handler: handler})
	for name, request := range map[string]string{
		"GET":     "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST":    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"chunked": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"expect":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
	} {
		c := dial(t, addr)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		// Interim responses come first, to find out whether the client still reads.
		answers := bufio.NewReader(c)
		for range 3 {
			if line, err := answers.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("%s: line %q %v, want an interim response", name, line, err)
			}
			if line, err := answers.ReadString('\n'); err != nil || line != "\r\n" {
				t.Fatalf("%s: line %q %v", name, line, err)
			}
		}
		release <- struct{}{}
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if body, err := io.ReadAll(response.Body); response.StatusCode != http.StatusOK || string(body) != "answer" || err != nil {
			t.Errorf("%s: %d %q %v, want the answer", name, response.StatusCode, body, err)
		}

		c = dial(t, addr)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		select {
		case <-left:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: the server does not notice that the client left", name)
		}
	}
	// HTTP/1.0 has no interim responses, so closing one side looks like disconnecting.
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	<-left
	if text, err := io.ReadAll(c); err != nil || strings.Contains(string(text), "100 Continue") {
		t.Errorf("HTTP/1.0 client reads %q %v", text, err)
	}
}

// TestSlowReadersAreCut checks that a client must keep reading, but may be slow, and that others are not affected.
func TestSlowReadersAreCut(t *testing.T) {
	t.Parallel()
	const pieces = 20
	var written chan error
	s := &Server{WriteTimeout: 30 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, pieces*writePiece))
		written <- err
	})}
	inVirtualTime(t, s, func(t *testing.T, p *pipes) {
		written = make(chan error, 1)
		for name, test := range map[string]struct {
			every time.Duration
			whole bool
			after time.Duration
		}{
			"slow":    {20 * time.Second, true, pieces * 20 * time.Second},
			"stopped": {time.Hour, false, 30 * time.Second},
		} {
			c := p.dial()
			start := time.Now()
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			end := make(chan struct{})
			go func() {
				defer close(end)
				defer c.Close()
				for {
					if _, err := io.CopyN(io.Discard, c, writePiece); err != nil {
						return
					}
					time.Sleep(test.every)
				}
			}()
			err := <-written
			if d := time.Since(start) - test.after; (err == nil) != test.whole || d < -time.Minute || d > time.Minute {
				t.Errorf("%s: written with %v in %s, want whole %t in %s", name, err, time.Since(start), test.whole, test.after)
			}
			if test.whole {
				c.Close()
			}
			<-end
		}
	})
}

// TestSlowClientsAreCut checks that a client that stops sending, or does not read its response, loses its connection,
// and that its resources are released.
func TestSlowClientsAreCut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sends string
		cut   time.Duration
	}{
		"silent":        {"", 10 * time.Second},
		"half a header": {"POST / HTTP/1.1\r\nHost: x\r\nContent-", 10 * time.Second},
		"half a body":   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf", 60 * time.Second},
		"does not read": {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 30 * time.Second},
		"idle":          {"GET /idle HTTP/1.1\r\nHost: x\r\n\r\n", 120 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err == nil && r.URL.Path != "/idle" {
					_, _ = w.Write(make([]byte, 100*writePiece))
				}
			})}
			inVirtualTime(t, s, func(t *testing.T, p *pipes) {
				c := p.dial()
				defer c.Close()
				start := time.Now()
				if _, err := io.WriteString(c, test.sends); err != nil {
					t.Fatal(err)
				}
				if name == "idle" {
					if status, _, err := readAnswer(c); status != http.StatusOK {
						t.Errorf("answer %d %v", status, err)
					}
				}
				if name == "does not read" {
					time.Sleep(test.cut + time.Second)
				}
				_, _ = io.Copy(io.Discard, c)
				if d := time.Since(start) - test.cut; d < 0 || d > time.Second {
					t.Errorf("cut after %s, want %s", time.Since(start), test.cut)
				}
			})
		})
	}
}

// TestPipelining checks that requests sent without waiting for responses are answered in order.
func TestPipelining(t *testing.T) {
	t.Parallel()
	addr := serve(t, &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, r.URL.Path, n)
	})})
	c := dial(t, addr)
	var requests strings.Builder
	for i := range 50 {
		fmt.Fprintf(&requests, "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", i)
	}
	if _, err := io.WriteString(c, requests.String()); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(c)
	for i := range 50 {
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); string(body) != fmt.Sprintf("/%d3", i) || err != nil {
			t.Fatalf("answer %d: %q %v", i, body, err)
		}
	}
}

// TestTrailers checks that trailers of a chunked body are accepted, and that one without an end is rejected.
func TestTrailers(t *testing.T) {
	t.Parallel()
	addr := serve(t, uploadServer(NewUploads(UploadLimits{})))
	for name, test := range map[string]struct {
		trailer string
		status  int
	}{
		"none":     {"", 200},
		"short":    {"X-Sum: 1\r\n", 200},
		"too long": {"X-Sum: " + strings.Repeat("1", 100<<10) + "\r\n", 400},
	} {
		c := dial(t, addr)
		go func() { // it need not be read to its end
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"+test.trailer+"\r\n")
		}()
		if status, body, err := readAnswer(net.Conn(c)); status != test.status || err != nil {
			t.Errorf("%s: %d %s %v, want %d", name, status, body, err, test.status)
		}
	}
}
