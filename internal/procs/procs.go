// Package procs keeps a child process running: it starts the process, passes on its output line by line, restarts it
// when it dies, and stops it with SIGTERM and, if necessary, SIGKILL. Children have their own process groups, so that
// Ctrl-C in a terminal reaches only the parent, which then stops them in its own order; on Linux they die with the
// parent in any case.
package procs

import (
	"cmp"
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

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// Process is a child process to keep running. Name, Path and Args are required; the other fields may be zero. It must
// not be changed after Run was called.
type Process struct {
	Name string   // prefix of its output and attribute in the log
	Path string   // of the executable
	Args []string // without the program's name
	Env  []string // replaces the parent's environment; nil inherits it

	// Files are inherited in addition to input and output, as descriptors 3, 4 and so on. They stay open in the
	// parent.
	Files []*os.File

	// Output receives the lines of standard output and error, one Write each. Nil discards them. While a Write
	// blocks, the process may block too, as on any pipe; but a Write that never returns does not prevent Run from
	// stopping the process and returning.
	Output io.Writer
	// Prefix is written before each line of the output.
	Prefix string
	// While, if not nil, is called after each start, in its own goroutine, with a context that ends when the process
	// has exited. Run waits for it.
	While func(ctx context.Context, pid int)
	// Log receives starts, exits and restarts. Nil discards them.
	Log *slog.Logger

	// StopTimeout is the maximum time between SIGTERM and SIGKILL. Zero means 5 s.
	StopTimeout time.Duration
	// MinBackoff is the delay before the first restart; it doubles with each exit within SettledAfter of the start,
	// up to MaxBackoff. Zero means 100 ms.
	MinBackoff time.Duration
	// MaxBackoff is the maximum delay before a restart. Zero means 5 s.
	MaxBackoff time.Duration
	// SettledAfter is the run time after which an exit does not count as a failed start. Zero means 10 s.
	SettledAfter time.Duration
	// GiveUpAfter is the number of consecutive exits within SettledAfter after which Run returns. Zero means 5; -1
	// means never.
	GiveUpAfter int
}

// ErrGaveUp is in the error of Run if the process exits again and again.
var ErrGaveUp = errors.New("gave up restarting")

func (p Process) withDefaults() Process {
	if p.Output == nil {
		p.Output = io.Discard
	}
	p.Log = cmp.Or(p.Log, slog.New(slog.DiscardHandler))
	p.StopTimeout = cmp.Or(p.StopTimeout, 5*time.Second)
	p.MinBackoff = cmp.Or(p.MinBackoff, 100*time.Millisecond)
	p.MaxBackoff = cmp.Or(p.MaxBackoff, 5*time.Second)
	p.SettledAfter = cmp.Or(p.SettledAfter, 10*time.Second)
	p.GiveUpAfter = cmp.Or(p.GiveUpAfter, 5)
	return p
}

// Run keeps the process running until ctx ends, then stops it and returns nil. It returns early if the process exits
// again and again, with ErrGaveUp and the exit status, and if it cannot be started.
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
			return fmt.Errorf("run %s: %w: it exited %d times, each within %s of its start, the last time with: %s",
				p.Name, ErrGaveUp, unsettled, p.SettledAfter, exitText(err))
		}
		log.Warn("process exited; restarting", "after", time.Since(started).Round(time.Millisecond).String(),
			"exit", exitText(err), "wait", backoff.String())
		if pause.For(ctx, backoff); ctx.Err() != nil {
			return nil
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

// runOnce runs the process until it exits.
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

	// The pipe is ours rather than os/exec's, because cmd.Wait would wait for its own copying forever, despite
	// WaitDelay, if Output blocks (a terminal stopped with Ctrl-S, a pager that is not scrolled).
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
		log.Warn("process exited; its last output was not passed on")
	}
	return err
}

// wait waits for the process, and runs While in the meantime.
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
