package procs

import "syscall"

// attributes puts a child in its own process group and has the kernel end it with us. SIGKILL, as nobody
// would be left to insist after a SIGTERM, nor to receive what it finishes.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
