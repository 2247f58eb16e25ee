//go:build unix

package httpx

import "syscall"

// maxFiles is how many descriptors this process may have; 0 when that is unknown. The Go runtime has raised the soft
// limit to the hard one.
func maxFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // int64 on FreeBSD
}
