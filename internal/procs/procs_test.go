//go:build unix

package procs_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/internal/procs"
)

// The test binary acts as the child processes: TEST_CHILD names the role.
func TestMain(m *testing.M) {
	if role := os.Getenv("TEST_CHILD"); role != "" {
		os.Exit(child(role))
	}
	goleak.VerifyTestMain(m)
}

func child(role string) int {
	term := make(chan os.Signal, 1)
	switch role {
	case "polite": // exits on SIGTERM
		signal.Notify(term, syscall.SIGTERM)
		fmt.Println("up", os.Getpid())
		<-term
		fmt.Println("bye")
		return 0
	case "stubborn": // receives SIGTERM and keeps running
		// Not signal.Ignore and select{}: without cgo the runtime reports that as a deadlock, and exits.
		signal.Notify(term, syscall.SIGTERM)
		fmt.Println("up", os.Getpid())
		for {
			<-term
		}
	case "chatty": // writes more than a pipe holds, and exits on SIGTERM, although nothing reads
		fmt.Println("up", os.Getpid())
		signal.Notify(term, syscall.SIGTERM)
		go func() { <-term; os.Exit(0) }()
		for {
			fmt.Println(strings.Repeat("x", 1000))
		}
	case "leaver": // leaves its output to a child of its own, which outlives it
		cmd := exec.Command(os.Args[0])
		cmd.Env, cmd.Stderr = env("stubborn"), os.Stdout
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("up", cmd.Process.Pid)
		return 0
	case "crash":
		fmt.Fprintln(os.Stderr, "no weights")
		return 3
	case "parent": // supervises a stubborn child and prints its pid
		ctx := context.Background()
		err := procs.Process{Name: "grandchild", Path: os.Args[0], Env: env("stubborn"), Output: os.Stdout}.Run(ctx)
		fmt.Println(err)
		return 1
	}
	return 2
}

func env(role string) []string { return append(os.Environ(), "TEST_CHILD="+role) }

// supervised is a running Process whose output lines the test reads.
type supervised struct {
	lines *bufio.Scanner
	stop  context.CancelFunc
	done  chan error
}

func supervise(t *testing.T, role string, p procs.Process) *supervised {
	t.Helper()
	r, w := io.Pipe()
	p.Name, p.Path, p.Env, p.Output = role, os.Args[0], env(role), w
	ctx, cancel := context.WithCancel(t.Context())
	s := &supervised{lines: bufio.NewScanner(r), stop: cancel, done: make(chan error, 1)}
	ended := make(chan struct{})
	go func() { defer close(ended); s.done <- p.Run(ctx); w.Close() }()
	t.Cleanup(func() { cancel(); r.Close(); <-ended })
	return s
}

// line returns the child's next line.
func (s *supervised) line(t *testing.T) string {
	t.Helper()
	if !s.lines.Scan() {
		t.Fatal("output ended")
	}
	return s.lines.Text()
}

// pidOf reads the line "up PID".
func pidOf(t *testing.T, line string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimPrefix(line, "up "))
	if err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	return pid
}

func TestStopsWithSIGTERM(t *testing.T) {
	t.Parallel()
	s := supervise(t, "polite", procs.Process{Prefix: "[a] "})
	if line := s.line(t); !strings.HasPrefix(line, "[a] up ") {
		t.Errorf("line %q lacks its prefix", line)
	}
	s.stop()
	if got := s.line(t); got != "[a] bye" {
		t.Errorf("line %q, want what the child prints on SIGTERM", got)
	}
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestKillsTheStubborn(t *testing.T) {
	t.Parallel()
	s := supervise(t, "stubborn", procs.Process{StopTimeout: 50 * time.Millisecond})
	pid := pidOf(t, s.line(t))
	s.stop()
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("child %d is still there: %v", pid, err)
	}
}

func TestRestarts(t *testing.T) {
	t.Parallel()
	s := supervise(t, "polite", procs.Process{MinBackoff: time.Millisecond})
	first := pidOf(t, s.line(t))
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if second := pidOf(t, s.line(t)); second == first {
		t.Errorf("pid %d twice", first)
	}
}

// TestWhile checks that While is called for each start, and that its context ends with each exit.
func TestWhile(t *testing.T) {
	t.Parallel()
	started, ended := make(chan int), make(chan int)
	s := supervise(t, "polite", procs.Process{MinBackoff: time.Millisecond, While: func(ctx context.Context, pid int) {
		started <- pid
		<-ctx.Done()
		ended <- pid
	}})
	first := <-started
	if pid := pidOf(t, s.line(t)); pid != first {
		t.Errorf("While was told pid %d, want %d", first, pid)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if pid := <-ended; pid != first {
		t.Errorf("end of %d, want %d", pid, first)
	}
	second := <-started
	s.stop()
	if pid := <-ended; pid != second {
		t.Errorf("end of %d, want %d", pid, second)
	}
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	s := supervise(t, "crash", procs.Process{MinBackoff: time.Millisecond, GiveUpAfter: 3})
	starts := 0
	for s.lines.Scan() {
		starts++
	}
	err := <-s.done
	if !errors.Is(err, procs.ErrGaveUp) || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Run: %v, want ErrGaveUp with exit status 3", err)
	}
	if starts != 3 {
		t.Errorf("started %d times, want 3", starts)
	}
}

// TestForgivesTheSettled checks that exits after a long run do not count towards giving up.
func TestForgivesTheSettled(t *testing.T) {
	t.Parallel()
	s := supervise(t, "polite", procs.Process{MinBackoff: time.Millisecond, SettledAfter: time.Nanosecond, GiveUpAfter: 2})
	for range 4 {
		if err := syscall.Kill(pidOf(t, s.line(t)), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	s.line(t)
}

// TestBlockedOutput checks that Run returns although nothing reads the output.
func TestBlockedOutput(t *testing.T) {
	t.Parallel()
	s := supervise(t, "chatty", procs.Process{StopTimeout: 50 * time.Millisecond})
	s.line(t)
	s.stop()
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestHeldOutput checks that a process counts as exited although a remaining child holds its output.
func TestHeldOutput(t *testing.T) {
	t.Parallel()
	s := supervise(t, "leaver", procs.Process{
		StopTimeout: 50 * time.Millisecond, MinBackoff: time.Millisecond, GiveUpAfter: 2,
	})
	var left []int
	for s.lines.Scan() {
		left = append(left, pidOf(t, s.lines.Text()))
	}
	if err := <-s.done; !errors.Is(err, procs.ErrGaveUp) {
		t.Errorf("Run: %v, want ErrGaveUp", err)
	}
	if len(left) != 2 {
		t.Errorf("%d children left behind, want one per start, 2", len(left))
	}
	for _, pid := range left {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

func TestCannotStart(t *testing.T) {
	t.Parallel()
	err := procs.Process{Name: "ghost", Path: "/nonexistent"}.Run(t.Context())
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run: %v, want a file that does not exist", err)
	}
}

// TestDiesWithParent kills a supervising process and checks that its child, which ignores SIGTERM, dies too.
func TestDiesWithParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("parent-death signals are Linux's")
	}
	t.Parallel()
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = env("parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	pid := pidOf(t, lines.Text())
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The grandchild does not inherit this pipe, but its relay's end closes with the parent.
	for lines.Scan() {
	}
	_ = parent.Wait()
	for deadline := time.Now().Add(10 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("grandchild %d outlived its parent", pid)
		}
		runtime.Gosched()
	}
}

// alive reports whether the process runs; a zombie, which waits for a slow init, does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}
