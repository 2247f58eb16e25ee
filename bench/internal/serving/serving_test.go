//go:build linux

package serving_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/bench/internal/serving"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStart(t *testing.T) {
	ready := `echo starting >&2; echo '{"msg":"replica ready","url":"http://127.0.0.1:5"}' >&2; trap 'exit 0' INT; while :; do sleep 0.01; done`
	s, err := serving.Start(t.Context(), serving.ReplicaReady, "bash", "-c", ready)
	if err != nil {
		t.Fatal(err)
	}
	if s.URL != "http://127.0.0.1:5" || s.PID == 0 {
		t.Errorf("server %+v", s)
	}
	if used, err := s.CPUTime(); used <= 0 || err != nil {
		t.Errorf("it has used %v of CPU time, %v", used, err)
	}
	s.Stop()
	if used, err := s.CPUTime(); err == nil {
		t.Errorf("a server that has ended has used %v", used)
	}
	if _, err := serving.Start(t.Context(), serving.ReplicaReady, "bash", "-c", "echo no such model >&2; exit 3"); err == nil ||
		!strings.Contains(err.Error(), "no such model") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a server that ends: %v", err)
	}
}

// TestStartOtherMessages waits for the message that it is told, or for none.
func TestStartOtherMessages(t *testing.T) {
	both := `echo '{"msg":"replica ready","url":"http://127.0.0.1:5"}' >&2; echo '{"msg":"dispatcher ready","url":"http://127.0.0.1:6"}' >&2; exec sleep 60`
	for ready, url := range map[string]string{serving.DispatcherReady: "http://127.0.0.1:6", "": ""} {
		s, err := serving.Start(t.Context(), ready, "bash", "-c", both)
		if err != nil {
			t.Fatal(err)
		}
		if s.URL != url {
			t.Errorf("waiting for %q: URL %q, want %q", ready, s.URL, url)
		}
		s.Stop()
	}
}

// TestTurn has three clients whose requests take a second each for four and a half seconds.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inFlight, most atomic.Int64
		n, took, err := serving.Turn(t.Context(), 3, 4500*time.Millisecond, [][]byte{{1}, {2}}, func(context.Context, []byte) error {
			most.Store(max(most.Load(), inFlight.Add(1)))
			time.Sleep(time.Second)
			inFlight.Add(-1)
			return nil
		})
		if n != 15 || took != 5*time.Second || err != nil || most.Load() != 3 {
			t.Errorf("%d answers in %v, %v, %d in flight; want 15 in 5s, 3 in flight", n, took, err, most.Load())
		}
		broken := errors.New("broken")
		if _, _, err := serving.Turn(t.Context(), 3, time.Second, [][]byte{{1}}, func(context.Context, []byte) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("a request fails: %v", err)
		}
	})
}
