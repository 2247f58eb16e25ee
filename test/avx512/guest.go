//go:build linux && amd64

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/resnet18cloud/resnet18cloud/engine"
)

// exitFormat is the format of the line that reports the test's exit status to the host.
const exitFormat = "avx512: exit status %d"

// level is the feature level that the PC must have, so that a test cannot pass without running the code under test.
const level = "avx512vnni"

// guest is init: it runs the test, reports its exit status, and powers the PC off.
func guest() (int, error) {
	status, err := runTask()
	if err != nil {
		fmt.Println("avx512: on the emulated PC:", err)
		status = 1
	}
	fmt.Printf("\n"+exitFormat+"\n", status)
	const drain = 1
	_ = unix.IoctlSetInt(int(os.Stdout.Fd()), unix.TCSBRK, drain)
	return status, syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

func runTask() (status int, err error) {
	c, err := engine.DescribeCPU()
	if err != nil {
		return 0, err
	}
	if !slices.Contains(c.Levels, level) {
		return 0, fmt.Errorf("its CPU has %s, not %s", strings.Join(c.Levels, ", "), level)
	}
	for dir, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs"} {
		if err := syscall.Mount(kind, dir, kind, 0, ""); err != nil {
			return 0, fmt.Errorf("mount %s: %w", kind, err)
		}
	}
	text, err := os.ReadFile("/task")
	if err != nil {
		return 0, err
	}
	var t task
	if err := json.Unmarshal(text, &t); err != nil {
		return 0, err
	}
	test := exec.Command("/test", t.Args...)
	test.Dir = t.Dir
	test.Stdout, test.Stderr = os.Stdout, os.Stdout
	err = test.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) && failed.Exited() {
		return failed.ExitCode(), nil
	}
	return 0, err
}
