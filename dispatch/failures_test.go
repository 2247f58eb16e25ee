package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store"
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestFailuresAreCounted has many accepted requests fail in a second: the first of each code have lines of their own, and
// the others one, when the second is over or the dispatcher ends.
func TestFailuresAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out testutil.Log
		f := newFailures(logs.New(&out, slog.LevelInfo, "text"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); f.run(ctx) }()
		fail := func(code resnet18cloud.Code, n int) {
			for i := range n {
				f.add(t.Context(), store.Record{ID: fmt.Sprint(code, i), Failure: &store.Failure{Code: code}}, errors.New("why"))
			}
		}
		check := func(when string, own, more int, want ...string) {
			t.Helper()
			for text, n := range map[string]int{`msg="request failed"`: own, `msg="more requests failed"`: more} {
				if got := out.Lines(text); len(got) != n {
					t.Errorf("%s: %d lines with %s, want %d", when, len(got), text, n)
				}
			}
			for _, line := range want {
				if !strings.Contains(out.String(), line) {
					t.Errorf("%s: no %q in\n%s", when, line, out.String())
				}
			}
		}
		fail(resnet18cloud.CodeUndecodable, 500)
		fail(resnet18cloud.CodeTooLarge, 3)
		check("in the first second", failureLines+3, 0, `level=INFO msg="request failed" request_id=undecodable9 code=undecodable error=why`)
		time.Sleep(logs.Interval)
		synctest.Wait()
		check("after it", failureLines+3, 1, `level=INFO msg="more requests failed" requests=490 code=undecodable`)
		fail(resnet18cloud.CodeUndecodable, failureLines)
		time.Sleep(logs.Interval)
		synctest.Wait()
		check("in the third", 2*failureLines+3, 1)
		fail(resnet18cloud.CodeLost, failureLines+1)
		cancel()
		<-ended
		check("at the end", 3*failureLines+3, 2, `level=WARN msg="request failed" request_id=lost0`, `level=WARN msg="more requests failed" requests=1 code=lost`)
	})
}
