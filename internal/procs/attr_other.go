//go:build !unix

package procs

import "syscall"

// attributes returns nil, because there are no process groups.
func attributes() *syscall.SysProcAttr { return nil }
