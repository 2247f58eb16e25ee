//go:build !linux

package harness

import "syscall"

// attributes adds nothing where the kernel cannot end children with their parent.
func attributes() *syscall.SysProcAttr { return nil }
