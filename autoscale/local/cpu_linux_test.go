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
	c.at -= 30 * time.Second // as if it used two CPUs in the next window
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

// TestCPUTimeOfStat adds user and system time, in hundredths of a second, for any program name.
func TestCPUTimeOfStat(t *testing.T) {
	t.Parallel()
	const rest = " S 1 2 3 4 5 6 7 8 9 10 150 25 13 14 15"
	for stat, want := range map[string]time.Duration{
		"7 (replica)" + rest:                       1750 * time.Millisecond,
		"7 (a) b (c 1 2 3 4 5 6 7 8 9 9 9)" + rest: 1750 * time.Millisecond,
		"7 (replica) S 1 2 3 4 5 6 7 8 9 10 0 1":   10 * time.Millisecond,
		"7 (replica) S 1 2 3 4 5 6 7 8 9 10 150":   -1,
		"7 (replica) S 1 2 3 4 5 6 7 8 9 10 x 25":  -1,
		"7 (replica) S 1 2 3 4 5 6 7 8 9 10 150 x": -1,
		"": -1,
	} {
		got, ok := cpuTimeOf([]byte(stat))
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("CPU time of %q = %s, %v, want %s", stat, got, ok, want)
		}
	}
}

// TestCPUWindows checks that a process's load is the mean of its last full window of 15 s, and that a new process starts over.
func TestCPUWindows(t *testing.T) {
	t.Parallel()
	pid, start := os.Getpid(), time.Unix(1000, 0)
	used, ok := cpuTime(pid)
	if !ok {
		t.Fatal("our CPU time is unknown")
	}
	c := cpu{pid: pid, since: start, at: used - 30*time.Second}
	c.look(start.Add(15*time.Second-1), pid)
	if c.window.Length != 0 || !c.since.Equal(start) {
		t.Errorf("before the window's end: %+v", c)
	}
	c.look(start.Add(20*time.Second), pid)
	if use, window := c.use(1); use == nil || *use < 1.5 || *use > 1.8 || window.Length != 20*time.Second || !window.End.Equal(start.Add(20*time.Second)) {
		t.Errorf("30 s of work in 20 s: %+v, want 1.5 CPUs and what this test took", c)
	}
	if !c.since.Equal(start.Add(20*time.Second)) || c.at < used {
		t.Errorf("the next window begins at %v with %s", c.since, c.at)
	}
	c = cpu{pid: pid + 1, since: start, last: 3}
	c.look(start.Add(time.Second), pid)
	if c.pid != pid || !c.since.Equal(start.Add(time.Second)) || c.last != 0 || c.at < used {
		t.Errorf("another process: %+v, want a new begin", c)
	}
	c.look(start.Add(time.Minute), 0)
	if c != (cpu{}) {
		t.Errorf("no process: %+v, want nothing", c)
	}
}
