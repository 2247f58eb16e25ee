//go:build chaos && linux

package chaos

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// owner is the prefix of our tmpfs in the list of mounts, followed by the process ID of the test.
const owner = "resnet18cloud-chaos-"

// mount mounts a tmpfs of the given size in MiB on the folder. First it unmounts those of tests that were killed.
func mount(dir string, mib int) error {
	if err := unmountAbandoned(); err != nil {
		return err
	}
	if err := syscall.Mount(fmt.Sprint(owner, os.Getpid()), dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
	}
	return nil
}

// unmountAbandoned unmounts the file systems of tests that no longer run.
func unmountAbandoned() error {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		pid, ours := strings.CutPrefix(fields[0], owner)
		if _, err := os.Stat("/proc/" + pid); !ours || !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := unmount(fields[1]); err != nil {
			return err
		}
	}
	return nil
}

func unmount(dir string) error {
	if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}
