package httpx

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serve runs a server on the loopback interface until the end of the test. It returns the address, or the URL if the
// server uses TLS.
func serve(t testing.TB, s *Server) (addr string) {
	t.Helper()
	s.Addr = "127.0.0.1:0"
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	ctx := t.Context()
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	return strings.TrimPrefix(s.URL(), "http://")
}

// dial connects to the server until the end of the test.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil { // so that a hanging test fails
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// refusing responds without reading the body.
var refusing = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "no", http.StatusTeapot)
})

// TestAnswersBeforeTheBody checks that a client that sends its whole body before it reads gets a response sent
// earlier, and may reuse the connection if the body was small.
func TestAnswersBeforeTheBody(t *testing.T) {
	t.Parallel()
	addr := serve(t, &Server{Handler: refusing})
	for _, n := range []int{0, 1000, 200 << 10, 300 << 10, 10 << 20, 60 << 20} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/chunked=%t", n, chunked), func(t *testing.T) {
				t.Parallel()
				c := dial(t, addr)
				var body io.Reader = bytes.NewReader(make([]byte, n))
				if chunked {
					body = io.MultiReader(body) // hides the length from net/http
				}
				r, err := http.NewRequest(http.MethodPost, "http://"+addr, body)
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Write(c); err != nil {
					t.Fatalf("send: %v", err)
				}
				answers := bufio.NewReader(c)
				response, err := http.ReadResponse(answers, r)
				if err != nil || response.StatusCode != http.StatusTeapot {
					t.Fatalf("answer: %+v %v", response, err)
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					t.Fatal(err)
				}
				if want := n >= 256<<10; response.Close != want {
					t.Errorf("Connection: close is %t, want %t", response.Close, want)
				}
				if response.Close {
					if _, err := answers.ReadByte(); err != io.EOF {
						t.Errorf("the connection ends with %v, want EOF", err)
					}
					return
				}
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				if again, err := http.ReadResponse(answers, nil); err != nil || again.StatusCode != http.StatusTeapot {
					t.Errorf("second answer: %+v %v", again, err)
				}
			})
		}
	}
}

// TestExpectContinue checks that a client that sends Expect: 100-continue is rejected without sending the body, and
// told to continue if the body is needed.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	reading := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	})
	for name, test := range map[string]struct {
		handler http.Handler
		want    string
	}{"refused": {refusing, "HTTP/1.1 418 "}, "wanted": {reading, "HTTP/1.1 100 "}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, serve(t, &Server{Handler: test.handler}))
			if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, test.want) {
				t.Errorf("answer %q %v, want %q", line, err, test.want)
			}
		})
	}
}

// TestLingerIsBounded checks that a rejected client cannot keep its connection open by sending more.
func TestLingerIsBounded(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, &Server{Handler: refusing}, func(t *testing.T, p *pipes) {
		c := p.dial()
		defer c.Close()
		start := time.Now()
		_, _ = io.WriteString(c, head(1<<30))
		sent := make(chan time.Duration)
		go func() {
			var err error
			for err == nil {
				_, err = c.Write(make([]byte, 100))
				time.Sleep(time.Second)
			}
			sent <- time.Since(start)
		}()
		if status, _, err := readAnswer(c); status != http.StatusTeapot || time.Since(start) > 0 {
			t.Errorf("answer %d %v after %s, want it at once", status, err, time.Since(start))
		}
		if took := <-sent; took < lingerTimeout || took > lingerTimeout+2*time.Second {
			t.Errorf("the client could send for %s, want %s", took, lingerTimeout)
		}
	})
}
