package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowSteps checks that only steps that take over a second are named, while they go on and when they end.
func TestSlowSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		s := slowSteps{W: &b}
		s.end() // of nothing
		s.begin("quick", 5)
		time.Sleep(slow / 2)
		s.begin("reading", 8<<20)
		time.Sleep(slow / 2)
		synctest.Wait()
		if b.Len() > 0 {
			t.Errorf("too early: %q", b.String())
		}
		time.Sleep(slow)
		synctest.Wait()
		if got, want := b.String(), "reading, 8.0 MiB ...\n"; got != want {
			t.Errorf("after a second: %q, want %q", got, want)
		}
		time.Sleep(slow / 2)
		s.begin("writing", 0)
		time.Sleep(3 * slow)
		synctest.Wait()
		s.end()
		s.end()
		time.Sleep(3 * slow)
		synctest.Wait()
		want := "reading, 8.0 MiB ...\nreading: took 2s, 4.0 MiB/s\nwriting ...\nwriting: took 3s\n"
		if got := b.String(); got != want {
			t.Errorf("wrote %q, want %q", got, want)
		}
	})
}
