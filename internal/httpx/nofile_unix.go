//go:build unix

package httpx

import "syscall"

// maxFiles returns the process's limit on file descriptors, or 0 if it is unknown. The Go runtime has raised the soft
// limit to the hard limit.
func maxFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // int64 on FreeBSD
}
