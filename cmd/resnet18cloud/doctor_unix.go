//go:build unix && !only_replica && !only_dispatcher

package main

import "golang.org/x/sys/unix"

// freeBytes is the space that this user can still write in the file system of a folder, if that is known.
func freeBytes(dir string) (uint64, bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true //nolint:unconvert // signed on FreeBSD
}

// descriptors is the limit of open files that this process can raise itself to, 0 if it is not known.
func descriptors() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Max) //nolint:unconvert // signed on FreeBSD
}
