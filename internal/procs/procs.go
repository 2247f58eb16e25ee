// Package procs keeps a child process running: it starts it, passes its output on line by line, starts it
// again when it dies, and ends it with SIGTERM and, when that is not enough, SIGKILL. Children are in
// process groups of their own, so that Ctrl-C in a terminal reaches only the parent, which then stops them
// in the order it likes; on Linux they die with the parent however that ends.
package procs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Process is a child to keep running. Name, Path and Args say what; the rest is usable as zero. It is not
// changed after Run was called.
type Process struct {
	Name string   // for people: prefix of its output, attribute in the log
	Path string   // of the executable
	Args []string // without the program's name
	Env  []string // in place of the parent's environment; nil means the parent's

	// Files are inherited beside input and output, as descriptors 3, 4 and so on. They stay open here.
	Files []*os.File

	// Output receives the lines of its standard output and error, one Write each. Nil discards them. While a
	// Write blocks, the process may block too, as on any pipe; but a Write that never returns does not keep
	// Run from ending the process and returning.
	Output io.Writer
	// Prefix stands before each line of the output.
	Prefix string
	// While, when not nil, is called after each start, in a goroutine of its own, with a context that ends
	// when the process has. Run waits for it.
	While func(ctx context.Context, pid int)
	// Log receives starts, exits and restarts. Nil discards them.
	Log *slog.Logger

	// StopTimeout is how long it may take between SIGTERM and SIGKILL. Zero means 5 s.
	StopTimeout time.Duration
	// MinBackoff is the wait before the first restart; it doubles with each exit that follows a start by
	// less than SettledAfter, up to MaxBackoff. Zero means 100 ms.
	MinBackoff time.Duration
	// MaxBackoff bounds the wait before a restart. Zero means 5 s.
	MaxBackoff time.Duration
	// SettledAfter is how long it must have run for its exit to count as an accident rather than as
	// inability. Zero means 10 s.
	SettledAfter time.Duration
	// GiveUpAfter is the number of unsettled exits in a row after which Run returns. Zero means 5, -1 never.
	GiveUpAfter int
}

// ErrGaveUp is in the error of Run when the process would not stay up.
var ErrGaveUp = errors.New("gave up restarting")

func (p Process) withDefaults() Process {
	if p.Output == nil {
		p.Output = io.Discard
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	p.StopTimeout = orDefault(p.StopTimeout, 5*time.Second)
	p.MinBackoff = orDefault(p.MinBackoff, 100*time.Millisecond)
	p.MaxBackoff = orDefault(p.MaxBackoff, 5*time.Second)
	p.SettledAfter = orDefault(p.SettledAfter, 10*time.Second)
	if p.GiveUpAfter == 0 {
		p.GiveUpAfter = 5
	}
	return p
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Run keeps the process running until ctx ends, then stops it and returns nil. It returns early, with
// ErrGaveUp and how the process ended, when it exits again and again, and when it cannot be started at all.
func (p Process) Run(ctx context.Context) error {
	p = p.withDefaults()
	log := p.Log.With("process", p.Name)
	backoff, unsettled := p.MinBackoff, 0
	for {
		started := time.Now()
		err := p.runOnce(ctx, log)
		if ctx.Err() != nil {
			log.Debug("process stopped", "error", err)
			return nil //nolint:nilerr // it was told to stop
		}
		if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
			return fmt.Errorf("run %s: %w", p.Name, err)
		}
		if time.Since(started) >= p.SettledAfter {
			backoff, unsettled = p.MinBackoff, 0
		}
		if unsettled++; unsettled == p.GiveUpAfter {
			return fmt.Errorf("run %s: %w: it ended %d times, each within %s of its start, the last time with: %s",
				p.Name, ErrGaveUp, unsettled, p.SettledAfter, exitText(err))
		}
		log.Warn("process ended, will be started again", "after", time.Since(started).Round(time.Millisecond).String(),
			"exit", exitText(err), "wait", backoff.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, p.MaxBackoff)
	}
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// runOnce runs the process from start to end.
func (p Process) runOnce(ctx context.Context, log *slog.Logger) error {
	// Linux sends a child its parent-death signal when the thread that started it ends, not the process
	// (prctl(2), PR_SET_PDEATHSIG). Staying locked to the thread keeps it alive as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, p.Path, p.Args...)
	cmd.Env = p.Env
	cmd.Stdout, cmd.Stderr = w, w
	cmd.ExtraFiles = p.Files
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = p.StopTimeout
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	log.Info("process started", "pid", cmd.Process.Pid)

	// The pipe is ours rather than os/exec's because cmd.Wait would wait for its own copying without end,
	// WaitDelay or not, when Output blocks (a terminal stopped with Ctrl-S, a pager nobody scrolls).
	passedOn := make(chan struct{})
	go func() {
		defer close(passedOn)
		out := &lineWriter{w: p.Output, prefix: p.Prefix}
		_, _ = io.Copy(out, r)
		out.flush()
	}()
	err = p.wait(cmd)
	select {
	case <-passedOn:
	case <-time.After(p.StopTimeout): // Output blocks, or a grandchild holds the pipe: closing it ends the copying
		log.Warn("process ended, its last output could not be passed on")
	}
	return err
}

// wait waits for the process, and runs While meanwhile.
func (p Process) wait(cmd *exec.Cmd) error {
	alive, ended := context.WithCancel(context.Background())
	var g errgroup.Group
	if p.While != nil {
		g.Go(func() error { p.While(alive, cmd.Process.Pid); return nil })
	}
	err := cmd.Wait()
	ended()
	_ = g.Wait() // returns no error
	return err
}
