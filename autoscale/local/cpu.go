package local

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// cpuWindow is the time over which CPU usage is averaged.
const cpuWindow = 15 * time.Second

// cpu measures the CPU usage of a process, window by window. The zero value is ready.
type cpu struct {
	pid    int
	since  time.Time     // start of this window
	at     time.Duration // CPU time then
	last   float64       // CPUs used in the window before
	window autoscale.Window
}

// look ends the window if it is over.
func (c *cpu) look(now time.Time, pid int) {
	if c.pid == pid && now.Sub(c.since) < cpuWindow {
		return
	}
	used, ok := cpuTime(pid)
	switch {
	case !ok:
		*c = cpu{}
	case c.pid != pid:
		*c = cpu{pid: pid, since: now, at: used}
	default:
		length := now.Sub(c.since)
		c.last, c.window = (used-c.at).Seconds()/length.Seconds(), autoscale.Window{End: now, Length: length}
		c.since, c.at = now, used
	}
}

// use is the CPU usage in the last complete window, as a share of cpus. It is nil if there was none yet.
func (c *cpu) use(cpus int) (*float64, autoscale.Window) {
	if c.window.Length == 0 {
		return nil, c.window
	}
	last := c.last / float64(cpus)
	return &last, c.window
}
