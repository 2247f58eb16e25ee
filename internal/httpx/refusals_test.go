package httpx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestRefusalsAreCounted sends many bad requests with long headers, which must cost a line a second, and a request that
// fails for a fault of the server, which must have a line of its own.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	var out testutil.Log
	log := logs.New(&out, slog.LevelInfo, "text")
	s := &Server{Log: log, Handler: Handler(log, func(_ http.ResponseWriter, r *http.Request) error {
		switch r.URL.Path {
		case "/fault":
			return errors.New("disk")
		case "/full":
			return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full"}
		}
		return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: "No such header " + r.Header.Get("X")}
	})}
	inVirtualTime(t, s, func(t *testing.T, p *pipes) {
		send := func(path string) {
			c := p.dial()
			defer c.Close()
			go fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: id-of-%s\r\nX: %s\r\nConnection: close\r\n\r\n", path, path[1:2], strings.Repeat("x", 20_000))
			if _, _, err := readAnswer(c); err != nil {
				t.Errorf("GET %.20s: %v", path, err)
			}
		}
		for range 400 {
			send("/bad/" + strings.Repeat("b", 20_000))
		}
		send("/full")
		send("/fault")
		if got := out.Lines(""); len(got) != 1 || !strings.Contains(got[0], `level=ERROR msg="request failed" method=GET path=/fault code=internal error="Internal error: disk" x_request_id=id-of-f trace_id=`) {
			t.Fatalf("before the second has passed: %q, want one line about the fault", got)
		}
		time.Sleep(logs.Interval)
		synctest.Wait()
		got := out.Lines("")[1:]
		if len(got) != 2 || !strings.Contains(got[0], `level=INFO msg="requests refused" requests=1 code=full method=GET path=/full error="Queue is full" x_request_id=id-of-f trace_id=`) ||
			!strings.Contains(got[1], `level=INFO msg="requests refused" requests=400 code=invalid method=GET path="/bad/bbb`) ||
			!strings.Contains(got[1], `x_request_id=id-of-b trace_id=`) {
			t.Errorf("after it: %.200q, want a line for each code", got)
		}
		if len(out.String()) > 4096 {
			t.Errorf("log of %d bytes, want at most 4096", len(out.String()))
		}
		send("/full")
		time.Sleep(logs.Interval)
		synctest.Wait()
		if got := out.Lines("")[3:]; len(got) != 1 || !strings.Contains(got[0], "requests=1 code=full") {
			t.Errorf("a second later: %.200q, want one line", got)
		}
		send("/full") // its line is written at the end
	})
	if got := out.Lines("")[4:]; len(got) != 1 || !strings.Contains(got[0], "requests=1 code=full") {
		t.Errorf("after the server has ended: %.200q, want one line", got)
	}
}

// TestUnknownPathsAreCounted checks that refusals of the mux are logged too.
func TestUnknownPathsAreCounted(t *testing.T) {
	t.Parallel()
	var out testutil.Log
	mux := http.NewServeMux()
	mux.Handle("POST /predict", http.NotFoundHandler())
	s := &Server{Log: logs.New(&out, slog.LevelInfo, "text"), Handler: JSONErrors(mux)}
	inVirtualTime(t, s, func(t *testing.T, p *pipes) {
		for range 3 {
			for _, path := range []string{"/" + strings.Repeat("n", 30_000), "/predict"} {
				c := p.dial()
				go fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
				if status, body, err := readAnswer(c); err != nil || len(body) > 2*logs.MaxBytes {
					t.Errorf("GET %.20s: %d with %d bytes %v", path, status, len(body), err)
				}
				c.Close()
			}
		}
	})
	got := out.Lines("")
	if len(got) != 2 || !strings.Contains(got[0], "requests=3 code=invalid method=GET path=/predict") ||
		!strings.Contains(got[1], "requests=3 code=not_found method=GET path=\"/nnn") || len(got[1]) > 4*logs.MaxBytes {
		t.Errorf("log %.300q, want a line for each code", got)
	}
}

// TestClientsThatLeaveAreNoFaults checks which line a client's leaving gets.
func TestClientsThatLeaveAreNoFaults(t *testing.T) {
	t.Parallel()
	var out testutil.Log
	log := logs.New(&out, slog.LevelInfo, "text")
	counted := newRefusals(log)
	r := httptest.NewRequest(http.MethodPost, "/predict", nil)
	r = r.WithContext(withRefusals(r.Context(), counted))
	report(log, r, &resnet18cloud.Error{Code: resnet18cloud.CodeCancelled, Message: "Request was cancelled"})
	ended, end := context.WithCancel(t.Context())
	end()
	counted.run(ended)
	if got := out.String(); !strings.Contains(got, `level=INFO msg="clients left before the response" requests=1 code=cancelled`) {
		t.Errorf("log %q", got)
	}
}

func TestIsRefusal(t *testing.T) {
	t.Parallel()
	for code, want := range map[resnet18cloud.Code]bool{
		resnet18cloud.CodeInvalid: true, resnet18cloud.CodeTooLarge: true, resnet18cloud.CodeFull: true,
		resnet18cloud.CodeUnavailable: true, resnet18cloud.CodeCancelled: true, resnet18cloud.CodeUndecodable: true,
		resnet18cloud.CodeDeadline: true, // of the client's X-Request-Timeout
		resnet18cloud.CodeInternal: false, "unknown": false,
	} {
		if got := isRefusal(code); got != want {
			t.Errorf("isRefusal(%s) = %t, want %t", code, got, want)
		}
	}
}
