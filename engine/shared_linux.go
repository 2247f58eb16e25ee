package engine

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seals keep memory unchanged: no process can write to it, shorten it (which would kill readers with SIGBUS), or remove
// a seal.
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// newShared makes a file in memory, and maps it for writing.
func newShared(size int) (*os.File, []byte, error) {
	// See docs/decisions/0016-packed-weights-are-inherited.md.
	fd, err := unix.MemfdCreate("resnet18cloud-weights", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, fmt.Errorf("create shared memory: %w", errors.Join(err, errors.ErrUnsupported))
	}
	f := os.NewFile(uintptr(fd), "shared weights")
	err = f.Truncate(int64(size))
	var memory []byte
	if err == nil {
		memory, err = mapShared(f, size, unix.PROT_READ|unix.PROT_WRITE)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, memory, nil
}

// seal unmaps the memory of newShared, truncates its file to size and makes it immutable.
func seal(f *os.File, memory []byte, size int) error {
	collapse(memory[:size])
	if err := unmap(memory); err != nil {
		return fmt.Errorf("unmap shared memory: %w", err)
	}
	if err := f.Truncate(int64(size)); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal shared memory: %w", err)
	}
	return nil
}

// openShared maps sealed memory for reading.
func openShared(f *os.File) ([]byte, error) {
	got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("%s is not shared memory: %w", f.Name(), err)
	}
	if got&seals != seals {
		return nil, fmt.Errorf("%s is not sealed: it could change or vanish", f.Name())
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	memory, err := mapShared(f, int(info.Size()), unix.PROT_READ)
	if err == nil {
		collapse(memory)
	}
	return memory, err
}

func mapShared(f *os.File, size, protection int) ([]byte, error) {
	memory, err := mapAligned(int(f.Fd()), size, protection, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return memory, nil
}

// newPrivate maps memory for this process alone. Untouched memory costs nothing.
func newPrivate(size int) ([]byte, error) {
	memory, err := mapAligned(-1, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map memory: %w", err)
	}
	return memory, nil
}

// hugePage is the size of a huge page on common systems; with another size only speed is lost.
const hugePage = 2 << 20

// mapAligned maps from a multiple of hugePage, without which there are no huge pages.
func mapAligned(fd, size, protection, flags int) ([]byte, error) {
	reserved, err := unix.MmapPtr(-1, 0, nil, uintptr(size+hugePage), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	before := -uintptr(reserved) % hugePage
	start := unsafe.Add(reserved, before)
	_, err = unix.MmapPtr(fd, 0, start, uintptr(size), protection, flags|unix.MAP_FIXED)
	if err != nil {
		return nil, errors.Join(err, unix.MunmapPtr(reserved, uintptr(size+hugePage)))
	}
	page := uintptr(os.Getpagesize())
	used := (uintptr(size) + page - 1) &^ (page - 1)
	if before > 0 {
		err = unix.MunmapPtr(reserved, before)
	}
	if after := hugePage - before + uintptr(size) - used; after >= page {
		err = errors.Join(err, unix.MunmapPtr(unsafe.Add(start, used), after&^(page-1)))
	}
	if err != nil {
		return nil, errors.Join(err, unix.MunmapPtr(start, uintptr(size)))
	}
	return unsafe.Slice((*byte)(start), size), nil
}

// collapse moves written shared memory into huge pages, or maps the huge pages it is in already. By default systems
// ignore MADV_HUGEPAGE for shared memory, but not this.
func collapse(memory []byte) {
	_ = unix.Madvise(memory[:len(memory)&^(hugePage-1)], unix.MADV_COLLAPSE) // not before Linux 6.1: a few percent slower
}

func unmap(memory []byte) error {
	if memory == nil {
		return nil
	}
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(memory)), uintptr(cap(memory)))
}
