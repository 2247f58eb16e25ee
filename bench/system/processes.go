//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one of ours, with its log read to the end.
type process struct {
	cmd   *exec.Cmd
	read  chan struct{} // closed at the end of its log
	lines bytes.Buffer  // the last of its log; valid after read
}

// launch starts the binary. With a message it waits for the line of the log that has it, and returns that line's url.
func (o options) launch(ctx context.Context, message string, args ...string) (p *process, url string, err error) {
	p = &process{cmd: exec.Command(o.binary, append([]string{"--log-format", "json"}, args...)...), read: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, "", err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("%w (make build)", err)
	}
	found := make(chan string, 1)
	go func() {
		defer close(p.read)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line struct{ Msg, URL string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == message {
				found <- line.URL
				break
			}
			p.lines.WriteString(lines.Text() + "\n")
		}
		_, _ = io.Copy(io.Discard, log) // a line per image
	}()
	if message == "" {
		return p, "", nil
	}
	select {
	case url = <-found:
		return p, url, nil
	case <-p.read:
		return nil, "", fmt.Errorf("%s ended: %w\n%s", p.cmd, p.cmd.Wait(), p.lines.String())
	case <-ctx.Done():
		return nil, "", errors.Join(ctx.Err(), p.end())
	}
}

// end interrupts the process and waits for it.
func (p *process) end() error {
	_ = p.cmd.Process.Signal(os.Interrupt) // an error says that it has ended
	<-p.read
	err := p.cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return nil // a load tester that is interrupted says so by its exit status
	}
	return err
}

// system is a replica and a dispatcher at work.
type system struct {
	options
	replica, dispatcher *process
	url                 string
	dir                 string
}

func (o options) start(ctx context.Context) (s *system, err error) {
	// A child is sent the parent-death signal when the thread that started it ends, so that thread stays.
	runtime.LockOSThread()
	s = &system{options: o}
	if s.dir, err = os.MkdirTemp("", "resnet18-system"); err != nil {
		return nil, err
	}
	args := []string{"replica", "--addr", "127.0.0.1:0"}
	if o.weights == "" {
		args = append(args, "--random-weights")
	} else {
		args = append(args, "--model", o.weights)
	}
	if o.precision != "" {
		args = append(args, "--precision", o.precision)
	}
	var replica string
	if s.replica, replica, err = o.launch(ctx, "replica ready", args...); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if s.dispatcher, s.url, err = o.launch(ctx, "dispatcher ready", "dispatcher", "--addr", "127.0.0.1:0", "--endpoints", replica,
		"--cache-size=-1", "--data-dir", s.dir); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *system) stop() error {
	var errs []error
	for _, p := range []*process{s.dispatcher, s.replica} {
		if p != nil {
			errs = append(errs, p.end())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// usage is a rate, and what share of all CPUs' time went where.
type usage struct {
	images                                    float64 // completed per second
	replica, dispatcher, tester, others, idle float64 // 0..1
}

// warmUp is the time for the load tester to start and for all to be under way.
const warmUp = 2 * time.Second

// measure has the load tester at work, and looks at the counters at both ends of the turn.
func (s *system) measure(ctx context.Context, turn time.Duration) (u usage, err error) {
	// More than any replica can do: the number of clients is what bounds it.
	tester, _, err := s.launch(ctx, "", "loadtest", "--url", s.url, "--images", s.images, "--no-unique", "--schedule",
		fmt.Sprintf("constant:5000:%ds", int((warmUp+turn).Seconds())+60), "--workers", strconv.Itoa(s.clients), "--timeout", "10m")
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, tester.end()) }()
	if err := pause(ctx, warmUp); err != nil {
		return u, err
	}
	before, err := s.look(ctx, tester)
	if err != nil {
		return u, err
	}
	if err := pause(ctx, turn); err != nil {
		return u, err
	}
	after, err := s.look(ctx, tester)
	if err != nil {
		return u, err
	}
	if after.failed > before.failed {
		return u, fmt.Errorf("%.0f images failed", after.failed-before.failed)
	}
	all := float64(runtime.NumCPU()) * after.at.Sub(before.at).Seconds()
	u.images = (after.completed - before.completed) / after.at.Sub(before.at).Seconds()
	u.replica = (after.replica - before.replica).Seconds() / all
	u.dispatcher = (after.dispatcher - before.dispatcher).Seconds() / all
	u.tester = (after.tester - before.tester).Seconds() / all
	u.idle = (after.idle - before.idle).Seconds() / all
	u.others = max(0, 1-u.replica-u.dispatcher-u.tester-u.idle)
	return u, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// counters are totals at one moment.
type counters struct {
	at                                time.Time
	completed, failed                 float64
	replica, dispatcher, tester, idle time.Duration // CPU time
}

func (s *system) look(ctx context.Context, tester *process) (c counters, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/status", http.NoBody)
	if err != nil {
		return c, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	var status struct {
		Successful float64 `json:"successful_requests"`
		Failed     float64 `json:"failed_requests"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		return c, fmt.Errorf("read /status: %w", err)
	}
	c.at, c.completed, c.failed = time.Now(), status.Successful, status.Failed
	for _, p := range []struct {
		of   *process
		used *time.Duration
	}{{s.replica, &c.replica}, {s.dispatcher, &c.dispatcher}, {tester, &c.tester}} {
		if *p.used, err = cpuTime(p.of.cmd.Process.Pid); err != nil {
			return c, err
		}
	}
	c.idle, err = idleTime()
	return c, err
}

// tick is the unit of times in /proc, USER_HZ, which is 100 on every Linux that Go runs on (time(7)).
const tick = time.Second / 100

// cpuTime is user and system time of a process: the 14th and 15th field of /proc/PID/stat (proc_pid_stat(5)).
func cpuTime(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ") // behind the program's name, which may have spaces
	return ticks(path, strings.Fields(rest), 11, 12)
}

// idleTime is the time that CPUs had nothing to do, or waited for a disk: the 4th and 5th number of the first line of
// /proc/stat (proc_stat(5)).
func idleTime() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return ticks("/proc/stat", strings.Fields(line), 4, 5)
}

// ticks adds up two fields.
func ticks(path string, fields []string, which ...int) (sum time.Duration, err error) {
	for _, i := range which {
		if i >= len(fields) {
			return 0, fmt.Errorf("%s has %d fields", path, len(fields))
		}
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", path, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
