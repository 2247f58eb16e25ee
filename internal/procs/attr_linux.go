package procs

import "syscall"

// attributes puts a child in its own process group and makes the kernel kill it if this process dies. The signal is
// SIGKILL, because there would be no parent to follow up on a SIGTERM or to receive output.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
