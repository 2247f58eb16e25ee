//go:build unix && !linux

package procs

import "syscall"

// attributes puts a child in its own process group. When the parent is killed outright, children stay.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
