package engine

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestPriority checks that work in the background has the lowest priority, and nothing else has.
func TestPriority(t *testing.T) {
	t.Parallel()
	// The system call returns 20-nice.
	nice := func() int {
		p, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
		if err != nil {
			t.Error(err)
		}
		return 20 - p
	}
	inBackground(func() {
		if n := nice(); n != lowest {
			t.Errorf("priority in the background %d, want %d", n, lowest)
		}
	})
	for range 100 {
		done := make(chan int)
		go func() { done <- nice() }()
		if n := <-done; n == lowest {
			t.Fatal("a goroutine got the thread of work in the background")
		}
	}
}
