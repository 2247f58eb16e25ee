//go:build unix && !linux

package procs

import "syscall"

// attributes puts a child in its own process group. If the parent is killed, children keep running.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
