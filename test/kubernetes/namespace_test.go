//go:build kubernetes

package kubernetes

import (
	"cmp"
	"context"
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

// The test binary starts itself twice: as the first process of its own namespaces, and from there to run the tests.
// These variables say which one it is, and which folder and control groups are its own.
const (
	insideVariable  = "RESNET18_TEST_NAMESPACE"
	groupVariable   = "RESNET18_TEST_CGROUP"
	scratchVariable = "RESNET18_TEST_DIR"

	asInit = "init"
	asTest = "test"
)

func TestMain(m *testing.M) {
	switch os.Getenv(insideVariable) {
	case asInit:
		os.Exit(runInit())
	case asTest:
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, "set up namespaces:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	default:
		os.Exit(startInside())
	}
}

// startInside runs this binary again with its own network, mounts and, as root, processes, and returns its exit status.
// When that ends, the kernel kills what the tests have started, containers too, and unmounts what they have mounted. The
// folder and the control groups are left, and removed here.
func startInside() int {
	scratch, err := os.MkdirTemp("", "resnet18-kubernetes-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	group := fmt.Sprint("resnet18-test-", os.Getpid())
	cmd.Env = append(os.Environ(), insideVariable+"="+asTest, groupVariable+"="+group, scratchVariable+"="+scratch)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.Env = append(cmd.Env, insideVariable+"="+asInit)
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
	} else {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	// The terminal sends an interrupt to the child too, and this process exits with it.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	if err = cmd.Start(); err == nil {
		defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
		err = cmd.Wait()
	}
	if left := errors.Join(os.RemoveAll(scratch), removeGroups(group)); left != nil {
		fmt.Fprintln(os.Stderr, "clean up:", left)
		return 1
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start in namespaces (needs root, or user namespaces to be allowed):", err)
		return 1
	}
	return 0
}

// runInit runs the tests, as the first process of a PID namespace, and returns their exit status. It is also the parent of
// processes whose own has ended, such as containerd's shims, and waits for them.
func runInit() int {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	// In place of the value that this process has: of two values, a process takes the first.
	err := os.Setenv(insideVariable, asTest)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	test, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "wait:", err)
			return 1
		case pid == test.Pid && status.Signaled():
			return 128 + int(status.Signal())
		case pid == test.Pid:
			return status.ExitStatus()
		}
	}
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
	if os.Getuid() == 0 {
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
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
