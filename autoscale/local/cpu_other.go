//go:build !linux

package local

import "time"

// cpuTime is not available on this system.
func cpuTime(int) (time.Duration, bool) { return 0, false }
