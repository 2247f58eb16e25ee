package httpx_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/httpx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHandlerAnswersErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		handler    httpx.HandlerFunc
		status     int
		retryAfter string
		message    string
	}{
		{"known", func(http.ResponseWriter, *http.Request) error {
			return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full", RetryAfter: 1200 * time.Millisecond}
		}, 503, "2", "Queue is full"},
		{"foreign", func(http.ResponseWriter, *http.Request) error { return errors.New("disk /dev/x") },
			500, "", "Internal error"},
		{"panic", func(http.ResponseWriter, *http.Request) error { panic("oops") }, 500, "", "Internal error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := httptest.NewRecorder()
			httpx.Handler(slog.New(slog.DiscardHandler), tt.handler).
				ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
			if rec.Code != tt.status {
				t.Errorf("status = %d, want %d", rec.Code, tt.status)
			}
			if got := rec.Header().Get("Retry-After"); got != tt.retryAfter {
				t.Errorf("Retry-After = %q, want %q", got, tt.retryAfter)
			}
			var body httpx.ErrorBody
			if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if body.Error != tt.message {
				t.Errorf("error = %q, want %q", body.Error, tt.message)
			}
		})
	}
}

func TestStatusAndCodeAreInverse(t *testing.T) {
	t.Parallel()
	for _, code := range []resnet18cloud.Code{resnet18cloud.CodeInvalid, resnet18cloud.CodeNotFound,
		resnet18cloud.CodeTooLarge, resnet18cloud.CodeUnsupported, resnet18cloud.CodeUndecodable,
		resnet18cloud.CodeInternal, resnet18cloud.CodeFull, resnet18cloud.CodeDeadline} {
		if got := httpx.CodeOf(httpx.Status(code)); got != code {
			t.Errorf("CodeOf(Status(%s)) = %s", code, got)
		}
	}
}

// TestServerFinishesRequestsInFlight stops a server while it answers, and expects the whole answer.
func TestServerFinishesRequestsInFlight(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s := &httpx.Server{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "whole")
	}), BeforeShutdown: func() { close(release) }}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	type answer struct {
		body string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get(s.URL())
		if err != nil {
			answered <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answered <- answer{string(body), err}
	}()
	<-entered
	cancel()
	if a := <-answered; a.err != nil || a.body != "whole" {
		t.Errorf("answer = %q, %v; want the whole body", a.body, a.err)
	}
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestListenSaysWhichAddress(t *testing.T) {
	t.Parallel()
	first := &httpx.Server{Addr: "127.0.0.1:0"}
	if err := first.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	addr := strings.TrimPrefix(first.URL(), "http://")
	if err := (&httpx.Server{Addr: addr}).Listen(); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("second Listen on %s = %v, want an error naming it", addr, err)
	}
	first.Handler = http.NotFoundHandler()
	if err := first.Run(ctx); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// TestSlowClientsAreCut holds that a client that does not send on, or does not read its answer, loses its connection,
// and with it what it holds.
func TestSlowClientsAreCut(t *testing.T) {
	t.Parallel()
	answered := make(chan error, 1)
	s := &httpx.Server{Addr: "127.0.0.1:0", HeaderTimeout: 50 * time.Millisecond, ReadTimeout: 100 * time.Millisecond,
		WriteTimeout: 200 * time.Millisecond,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			for piece := make([]byte, 1<<20); err == nil; { // without an end: no socket's buffer holds it
				_, err = w.Write(piece)
			}
			answered <- err
		})}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	for name, sends := range map[string]struct {
		text    string
		handled bool
	}{
		"silent":        {"", false},
		"half a header": {"POST / HTTP/1.1\r\nHost: x\r\nContent-", false},
		"half a body":   {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf", true},
		"does not read": {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sends.text); err != nil {
			t.Fatal(err)
		}
		if sends.handled {
			if err := <-answered; err == nil {
				t.Errorf("%s: served to the end", name)
			}
		}
		// The end of the connection is awaited, so that what hangs shows as a test that does.
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}
