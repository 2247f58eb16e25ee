//go:build !linux

package harness

import "syscall"

// attributes returns nil, because the kernel cannot kill children with their parent.
func attributes() *syscall.SysProcAttr { return nil }
