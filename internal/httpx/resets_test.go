package httpx

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/logs"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestResetsTooMuch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		resets, requests int
		want             bool
	}{{0, 0, false}, {100, 100, false}, {101, 101, true}, {101, 201, true}, {101, 202, false}, {500, 1000, false}, {501, 1001, true}} {
		if got := resetsTooMuch(test.resets, test.requests); got != test.want {
			t.Errorf("resetsTooMuch(%d, %d) = %t, want %t", test.resets, test.requests, got, test.want)
		}
	}
}

// TestResetsEndConnections has a client give up requests of an HTTP/2 connection: all of them, or every second.
func TestResetsEndConnections(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ every, connections int }{"all": {1, 3}, "half": {2, 1}} {
		var out testutil.Log
		s := &Server{Log: logs.New(&out, slog.LevelInfo, "text"), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				<-r.Context().Done()
			}
			_, _ = io.WriteString(w, "fine")
		})}
		inVirtualTime(t, s, func(t *testing.T, p *pipes) {
			client := http2Client(p)
			defer client.CloseIdleConnections()
			connections := 0
			get := func(path string, timeout time.Duration) error {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
					if !i.Reused {
						connections++
					}
				}})
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x"+path, nil)
				if err != nil {
					return err
				}
				response, err := client.Do(request)
				if err != nil {
					return err
				}
				defer response.Body.Close()
				_, err = io.Copy(io.Discard, response.Body)
				return err
			}
			for i := range 250 {
				if i%test.every == test.every-1 {
					if err := get("/wait", time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("%s: request %d, to be given up: %v", name, i, err)
					}
				} else if err := get("/", time.Second); err != nil {
					t.Fatalf("%s: request %d: %v", name, i, err)
				}
				synctest.Wait() // the server has noticed
			}
			if connections != test.connections {
				t.Errorf("%s: %d connections, want %d", name, connections, test.connections)
			}
		})
		if lines := out.Lines("resets most of its requests"); (len(lines) > 0) != (test.connections > 1) ||
			len(lines) > 0 && !strings.Contains(lines[0], "code=rate_limited") {
			t.Errorf("%s: log %q", name, lines)
		}
	}
}
