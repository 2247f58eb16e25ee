package harness

import "syscall"

// attributes has the kernel kill a child when the test ends however it does, and keeps Ctrl-C from it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
