//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/bench/internal/serving"
)

// system is a replica and a dispatcher at work.
type system struct {
	options
	replica, dispatcher *serving.Server
	dir                 string
}

func (o options) start(ctx context.Context) (s *system, err error) {
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
	if s.replica, err = o.launch(ctx, serving.ReplicaReady, args...); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if s.dispatcher, err = o.launch(ctx, serving.DispatcherReady, "dispatcher", "--addr", "127.0.0.1:0", "--endpoints", s.replica.URL,
		"--cache-size=-1", "--data-dir", s.dir); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// launch starts the binary and waits for the message.
func (o options) launch(ctx context.Context, ready string, args ...string) (*serving.Server, error) {
	s, err := serving.Start(ctx, ready, o.binary, append([]string{"--log-format", "json"}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("%w (make build)", err)
	}
	return s, nil
}

func (s *system) stop() error {
	for _, p := range []*serving.Server{s.dispatcher, s.replica} {
		if p != nil {
			p.Stop()
		}
	}
	return os.RemoveAll(s.dir)
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
	tester, err := s.launch(ctx, "", "loadtest", "--url", s.dispatcher.URL, "--images", s.images, "--no-unique", "--schedule",
		fmt.Sprintf("constant:5000:%ds", int((warmUp+turn).Seconds())+60), "--workers", strconv.Itoa(s.clients), "--timeout", "10m")
	if err != nil {
		return u, err
	}
	defer tester.Stop()
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

func (s *system) look(ctx context.Context, tester *serving.Server) (c counters, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.dispatcher.URL+"/status", http.NoBody)
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
		of   *serving.Server
		used *time.Duration
	}{{s.replica, &c.replica}, {s.dispatcher, &c.dispatcher}, {tester, &c.tester}} {
		if *p.used, err = p.of.CPUTime(); err != nil {
			return c, err
		}
	}
	c.idle, err = idleTime()
	return c, err
}

// tick is the unit of times in /proc, USER_HZ, which is 100 on every Linux that Go runs on (time(7)).
const tick = time.Second / 100

// idleTime is the time that CPUs had nothing to do, or waited for a disk: the 4th and 5th number of the first line of
// /proc/stat (proc_stat(5)).
func idleTime() (sum time.Duration, err error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for _, field := range fields[4:6] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
