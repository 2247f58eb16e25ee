package logs_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/logs"
)

// TestTally counts events of two kinds for some seconds, one without any and a last one that ends early.
func TestTally(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tally := logs.NewTally[string, int]()
		began := time.Now()
		var got []string
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			tally.Run(ctx, func(kind string, n int) { got = append(got, fmt.Sprintf("%s: %d of %s", time.Since(began), n, kind)) })
		}()
		one := func(before int) int { return before + 1 }
		for range 300 {
			tally.Add("b", one)
			tally.Add("a", one)
		}
		time.Sleep(3 * logs.Interval)
		tally.Add("a", one)
		time.Sleep(2 * logs.Interval)
		tally.Add("b", one)
		cancel()
		<-ended
		if want := []string{"1s: 300 of a", "1s: 300 of b", "4s: 1 of a", "5s: 1 of b"}; !slices.Equal(got, want) {
			t.Errorf("lines %q, want %q", got, want)
		}
	})
}
