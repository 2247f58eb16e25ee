package harness

import "syscall"

// attributes makes the kernel kill a child when the test ends in any way, and keeps Ctrl-C from it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
