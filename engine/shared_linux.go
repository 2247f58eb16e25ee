package engine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// seals keep sealed memory as it is: no process can write to it, shorten it (which would end those that read it with
// SIGBUS), or take a seal off.
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// newShared makes a file in memory, and maps it to be written.
func newShared(size int) (*os.File, []byte, error) {
	fd, err := unix.MemfdCreate("resnet18cloud-weights", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, fmt.Errorf("make memory to share: %w", errors.Join(err, errors.ErrUnsupported))
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

// seal unmaps and cuts what newShared made, and makes it unchangeable.
func seal(f *os.File, memory []byte, size int) error {
	if err := unix.Munmap(memory); err != nil {
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

// openShared maps sealed memory to be read.
func openShared(f *os.File) ([]byte, error) {
	got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("%s is no memory to share: %w", f.Name(), err)
	}
	if got&seals != seals {
		return nil, fmt.Errorf("%s is not sealed: it could change or vanish", f.Name())
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return mapShared(f, int(info.Size()), unix.PROT_READ)
}

func mapShared(f *os.File, size, protection int) ([]byte, error) {
	memory, err := unix.Mmap(int(f.Fd()), 0, size, protection, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	// Only a wish, as in package resnet; for shared memory most systems refuse it.
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE)
	return memory, nil
}

// newPrivate maps memory for this process alone. What of it is not touched costs nothing.
func newPrivate(size int) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map memory: %w", err)
	}
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE)
	return memory, nil
}

func unmap(memory []byte) error {
	if memory == nil {
		return nil
	}
	return unix.Munmap(memory)
}
