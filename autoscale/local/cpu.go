package local

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// cpuWindow is what use of CPU is the mean of.
const cpuWindow = 15 * time.Second

// cpu follows a process's use of CPU, window by window. The zero value has seen nothing.
type cpu struct {
	pid    int
	since  time.Time     // begin of this window
	at     time.Duration // CPU time then
	last   float64       // CPUs used in the window before
	window autoscale.Window
}

// look ends the window when its time has come.
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

// use is the use of CPU in the last whole window, as a share of so many CPUs. Nil when there was no such
// window yet.
func (c *cpu) use(cpus int) (*float64, autoscale.Window) {
	if c.window.Length == 0 {
		return nil, c.window
	}
	last := c.last / float64(cpus)
	return &last, c.window
}
