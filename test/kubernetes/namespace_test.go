//go:build kubernetes

package kubernetes

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inside is set for the test binary when it was restarted in its own namespaces.
const inside = "RESNET18_TEST_NAMESPACE"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(startInside())
	}
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "set up namespaces:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// startInside runs this binary again with its own network and mounts, and returns its exit status.
func startInside() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // the child gets the signal too, and this process exits with it
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start in namespaces (needs root, or user namespaces to be allowed):", err)
		return 1
	}
	return 0
}

// nameServer is the address of the cluster's name server, on port 53.
const nameServer = "127.0.0.53"

// furnish sets up loopback and makes resolvers use our name server, like those of pods.
func furnish() error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	file, err := os.CreateTemp("", "resolv.conf")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // the mount keeps it
	_, err = fmt.Fprintf(file, "nameserver %s\nsearch %s.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n", nameServer, namespace)
	if err = errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return err
	}
	return unix.Mount(file.Name(), target, "", unix.MS_BIND, "")
}

// podNetwork is the 16-bit network of the pods' addresses. It is not 127.0.0.0/8, because Kubernetes rejects
// endpoints there.
var podNetwork = [4]byte{10, 1, 0, 0}

// loopbackUp routes 127.0.0.0/8, as usual, and the pods' addresses to the loopback interface.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	set := func(name string, what uint, value func(*unix.Ifreq) error) error {
		request, err := unix.NewIfreq(name)
		if err == nil {
			err = value(request)
		}
		if err != nil {
			return err
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(what), uintptr(unsafe.Pointer(request))); errno != 0 {
			return errno
		}
		return nil
	}
	up := func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP); return nil }
	address := func(r *unix.Ifreq) error { return r.SetInet4Addr(podNetwork[:]) }
	mask := func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 0, 0}) }
	return cmp.Or(set("lo", unix.SIOCSIFFLAGS, up), set("lo:pods", unix.SIOCSIFADDR, address), set("lo:pods", unix.SIOCSIFNETMASK, mask))
}
