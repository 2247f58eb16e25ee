package local

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// cpuTime is the CPU time that a process has used; false if there is no such process.
func cpuTime(pid int) (time.Duration, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || pid == 0 {
		return 0, false
	}
	return cpuTimeOf(stat)
}

// ticksPerSecond is USER_HZ of all of Linux's architectures that Go knows.
const ticksPerSecond = 100

// cpuTimeOf adds utime and stime of a /proc/PID/stat (proc_pid_stat(5)): the 12th and 13th field after the second one, which
// is in parentheses and may hold anything.
func cpuTimeOf(stat []byte) (time.Duration, bool) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * (time.Second / ticksPerSecond), err1 == nil && err2 == nil
}
