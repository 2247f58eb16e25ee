//go:build unix

package images

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Map maps a file into memory until release is called. A load test thus needs memory for the requests in flight only,
// however many files there are. A file must not shrink while it is mapped. See
// docs/decisions/0070-mapped-for-one-request.md.
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
		return nil, func() {}, nil // an empty file cannot be mapped
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
