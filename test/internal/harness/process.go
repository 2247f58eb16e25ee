package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopLimit is longer than any drain. A process that has not exited by then is killed.
const stopLimit = time.Minute

// Process is a program that can be killed and restarted with the same arguments. It is safe for concurrent use.
type Process struct {
	name    string
	command func() *exec.Cmd
	log     *os.File

	mu   sync.Mutex
	cmd  *exec.Cmd     // guarded by mu
	done chan struct{} // guarded by mu; closed when cmd has exited
	err  error         // of cmd.Wait; valid once done is closed
	down bool          // guarded by mu: stopped by the test
}

// NewProcess creates a process without starting it. A process that runs at the end of the test is killed. The end of
// its output is logged if the test has failed.
func NewProcess(t testing.TB, name string, command func() *exec.Cmd) *Process {
	t.Helper()
	log, err := os.Create(filepath.Join(logDir(t), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	close(done)
	p := &Process{name: name, command: command, log: log, done: done, down: true}
	t.Cleanup(func() {
		_ = p.Down(syscall.SIGKILL) // its exit status reports the kill
		if tail := p.Tail(2000); t.Failed() && tail != "" {
			t.Logf("%s:\n%s", name, tail)
		}
		_ = log.Close()
	})
	return p
}

// logDir returns the folder of a test's logs. They are kept if the environment variable TEST_LOGS names a folder for
// them.
func logDir(t testing.TB) string {
	t.Helper()
	kept := os.Getenv("TEST_LOGS")
	if kept == "" {
		return t.TempDir()
	}
	dir := filepath.Join(kept, strings.ReplaceAll(t.Name(), "/", "-"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Start creates a process and starts it.
func Start(t testing.TB, name string, command func() *exec.Cmd) *Process {
	t.Helper()
	p := NewProcess(t, name, command)
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Name returns the name of the process in logs.
func (p *Process) Name() string { return p.name }

// Up starts the process, which must not be running.
func (p *Process) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		return fmt.Errorf("start %s: it is running", p.name)
	}
	cmd := p.command()
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.log, p.log, attributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done, p.down = cmd, done, false
	go func() { // ends with the process, which NewProcess kills
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(done)
	}()
	return nil
}

// Down sends the signal and waits until the process has exited. It kills a process that takes longer than a minute.
// It returns an error in this case, or if the exit status was not 0.
func (p *Process) Down(s syscall.Signal) error {
	p.mu.Lock()
	done, cmd := p.done, p.cmd
	p.down = true
	if cmd != nil {
		_ = cmd.Process.Signal(s) // fails only if it has exited
	}
	p.mu.Unlock()
	late := time.NewTimer(stopLimit)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		_ = cmd.Process.Kill()
		<-done
		return fmt.Errorf("%s did not end within %s after %v", p.name, stopLimit, s)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Signal sends a signal, such as SIGSTOP.
func (p *Process) Signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // fails only if it has exited
	}
}

// Done is closed when the process has exited.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Pid returns the process ID of the last start.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Crashed returns an error if the process has exited without Down.
func (p *Process) Crashed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.down {
		return nil
	}
	return fmt.Errorf("%s ended by itself: %w", p.name, errors.Join(p.err, errors.New(exitText(p.cmd.ProcessState))))
}

func exitText(s *os.ProcessState) string {
	if s == nil {
		return "exit unknown"
	}
	return s.String()
}

// Log returns everything the process has written since the start of the test.
func (p *Process) Log() string {
	data, _ := os.ReadFile(p.log.Name()) // an empty log fails the test that searches it
	return string(data)
}

// noise is what a NATS server writes all the time.
var noise = regexp.MustCompile(`\[(INF|WRN)\]|Error trying to connect to route`)

// Tail returns at most n bytes from the end of the log, without noise.
func (p *Process) Tail(n int) string {
	var kept strings.Builder
	for line := range strings.Lines(p.Log()) {
		if !noise.MatchString(line) {
			kept.WriteString(line)
		}
	}
	text := kept.String()
	return text[max(0, len(text)-n):]
}
