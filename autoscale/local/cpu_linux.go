package local

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// cpuTime is the CPU time that a process has used, from utime and stime in /proc/PID/stat (proc_pid_stat(5)).
func cpuTime(pid int) (time.Duration, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || pid == 0 {
		return 0, false
	}
	// The second field, in parentheses, may hold anything; utime and stime are the 12th and 13th behind it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	const ticksPerSecond = 100 // USER_HZ of all of Linux's architectures that Go knows
	return time.Duration(user+system) * (time.Second / ticksPerSecond), err1 == nil && err2 == nil
}
