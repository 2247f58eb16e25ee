package local

import (
	"os"
	"testing"
	"time"
)

// TestCPU looks at this process, which is busy: its CPU time grows, and a window of it becomes a mean.
func TestCPU(t *testing.T) {
	t.Parallel()
	if _, ok := cpuTime(0); ok {
		t.Error("no process uses CPU")
	}
	before, ok := cpuTime(os.Getpid())
	if !ok {
		t.Fatal("our CPU time is unknown")
	}
	for now := before; now < before+50*time.Millisecond; now, _ = cpuTime(os.Getpid()) {
	}
	var c cpu
	start := time.Unix(1000, 0)
	c.look(start, os.Getpid())
	if use, _ := c.use(1); use != nil {
		t.Errorf("use after no time: %v", *use)
	}
	c.at -= 30 * time.Second // as if it had used two CPUs in the window to come
	c.look(start.Add(14*time.Second), os.Getpid())
	if use, _ := c.use(1); use != nil {
		t.Errorf("use before the window's end: %v", *use)
	}
	c.look(start.Add(15*time.Second), os.Getpid())
	use, window := c.use(2)
	if use == nil || *use < 1 || *use > 1.3 || window.Length != 15*time.Second {
		t.Errorf("use %v over %+v, want both of 2 CPUs and what this test takes", use, window)
	}
	c.look(start.Add(16*time.Second), 0)
	if use, _ := c.use(1); use != nil {
		t.Error("use of a process that has ended")
	}
}
