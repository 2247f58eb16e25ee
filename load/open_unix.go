//go:build unix

package load

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Map gives the bytes of a file by mapping it into memory until release is called. So a run needs memory for
// what is under way and no more, however many files there are; the kernel's page cache holds what was read.
// A file must not shrink while it is mapped.
func Map(path string) (data []byte, release func(), err error) {
	f, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(f)
	var info unix.Stat_t
	if err := unix.Fstat(f, &info); err != nil {
		return nil, nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if info.Size == 0 {
		return nil, func() {}, nil // nothing cannot be mapped
	}
	if info.Size != int64(int(info.Size)) {
		return nil, nil, fmt.Errorf("%s: too large to map", path)
	}
	data, err = unix.Mmap(f, 0, int(info.Size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, &os.PathError{Op: "map", Path: path, Err: err}
	}
	return data, func() { _ = unix.Munmap(data) }, nil
}
