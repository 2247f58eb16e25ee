package logs

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLimited writes a hundred lines at once, and then one every half second.
func TestLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		l := &Limited{W: &b}
		for i := range 100 {
			fmt.Fprintf(l, "level=INFO n=%d\n", i)
		}
		if got := strings.Count(b.String(), "\n"); got != Burst {
			t.Errorf("%d lines at once, want %d", got, Burst)
		}
		fmt.Fprintln(l, "level=ERROR")
		if got := b.String(); !strings.HasSuffix(got, "(80 lines left out; --log-level debug prints all)\nlevel=ERROR\n") {
			t.Errorf("an error is left out, or the number: %q", got)
		}
		b.Reset()
		for range 20 {
			time.Sleep(time.Second / 2)
			fmt.Fprintln(l, "level=INFO")
		}
		if got := strings.Count(b.String(), "level=INFO"); got != 10 {
			t.Errorf("%d lines in ten seconds, want 10", got)
		}
	})
}
