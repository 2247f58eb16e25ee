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
				ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
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
	for _, code := range []resnet18cloud.Code{resnet18cloud.CodeInvalid, resnet18cloud.CodeUnauthorized, resnet18cloud.CodeForbidden, resnet18cloud.CodeNotFound,
		resnet18cloud.CodeTooLarge, resnet18cloud.CodeUnsupported, resnet18cloud.CodeUndecodable,
		resnet18cloud.CodeInternal, resnet18cloud.CodeFull, resnet18cloud.CodeDeadline} {
		if got := httpx.CodeOf(httpx.Status(code)); got != code {
			t.Errorf("CodeOf(Status(%s)) = %s", code, got)
		}
	}
}

// TestServerDropsUnusedConnections stops a server to which a client has opened a connection in reserve, as Go's does, and expects
// that it does not wait for a request there.
func TestServerDropsUnusedConnections(t *testing.T) {
	t.Parallel()
	s := &httpx.Server{Addr: "127.0.0.1:0", Handler: http.NotFoundHandler(), ShutdownTimeout: 4 * time.Second} // net/http waits 5 s
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	unused, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer unused.Close()
	if resp, err := http.Get(s.URL()); err != nil { // the first one has been accepted too
		t.Fatal(err)
	} else {
		_ = resp.Body.Close()
	}
	cancel()
	if _, err := unused.Read(make([]byte, 1)); err == nil {
		t.Error("the unused connection was answered")
	}
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// TestServerLetsClientsLeave checks that a server that stops responds for a while, on connections that are open and new ones,
// tells the clients to leave, and does not wait once they have.
func TestServerLetsClientsLeave(t *testing.T) {
	t.Parallel()
	for name, protocol := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2":   func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stopping := make(chan struct{})
			s := &httpx.Server{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "whole")
			}), BeforeShutdown: func() { close(stopping) }, ShutdownDelay: time.Hour}
			if err := s.Listen(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- s.Run(ctx) }()
			get := func(c *http.Client) {
				t.Helper()
				resp, err := c.Get(s.URL())
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "whole" {
					t.Errorf("response %q, %v", body, err)
				}
			}
			var clients [2]*http.Client
			for i := range clients {
				transport := &http.Transport{Protocols: new(http.Protocols)}
				protocol(transport.Protocols)
				defer transport.CloseIdleConnections()
				clients[i] = &http.Client{Transport: transport}
			}
			get(clients[0])
			if n := s.Connections(); n != 1 {
				t.Fatalf("%d connections, want the first client's", n)
			}
			cancel()
			<-stopping
			get(clients[1]) // on a new connection
			get(clients[0]) // on the one that it has
			if err := <-ran; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	}
}

// TestServerFinishesRequestsInFlight stops a server while it responds, and expects the whole response.
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
