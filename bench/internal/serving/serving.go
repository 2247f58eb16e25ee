//go:build linux

// Package serving runs servers that classify pictures as processes, for programs that measure them, tells what CPU time they use, and
// keeps a number of requests in flight at one.
package serving

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
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Server is a process that serves.
type Server struct {
	URL string // base, such as http://127.0.0.1:5000
	PID int

	cmd     *exec.Cmd
	drained chan struct{}
	client  *http.Client
}

// What our servers log when they are ready, with their URL.
const (
	ReplicaReady    = "replica ready"
	DispatcherReady = "dispatcher ready"
)

// Start starts a server and waits until it writes a line of JSON on stderr with the message ready and its URL. With the message "" it
// does not wait, as for a load tester, and there is no URL. The process ends with ctx, or with this process.
func Start(ctx context.Context, ready, command string, args ...string) (*Server, error) {
	// A child is sent the parent-death signal when the thread that started it ends, so that thread stays.
	runtime.LockOSThread()
	c := exec.CommandContext(ctx, command, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.WaitDelay = time.Second
	log, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return nil, err
	}
	s := &Server{PID: c.Process.Pid, cmd: c, drained: make(chan struct{}), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	var said bytes.Buffer
	for lines := bufio.NewScanner(log); ready != "" && s.URL == ""; {
		if !lines.Scan() {
			return nil, fmt.Errorf("%s ended instead of serving: %w\n%s", command, c.Wait(), said.Bytes())
		}
		var line struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == ready {
			s.URL = line.URL
		}
		said.Write(append(lines.Bytes(), '\n'))
	}
	go func() {
		defer close(s.drained)
		_, _ = io.Copy(io.Discard, log) // a line per image, until the process ends
	}()
	return s, nil
}

// Stop interrupts the server and waits until it has ended.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(os.Interrupt) // an error says that it has ended
	<-s.drained
	_ = s.cmd.Wait() // likewise
}

// CPUTime returns the CPU time that the server's threads have used, in nanoseconds where /proc/PID/stat counts hundredths of a second:
// the first number of schedstat. Threads of a Go program do not end.
func (s *Server) CPUTime() (total time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.PID))
	if err == nil && len(threads) == 0 {
		err = fmt.Errorf("%s has ended", s.cmd)
	}
	if err != nil {
		return 0, err
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		total += time.Duration(ns)
	}
	return total, nil
}

// Predict sends a picture by POST /predict, and returns its five labels, the best first.
func (s *Server) Predict(ctx context.Context, picture []byte) (labels []string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/predict", bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "image/jpeg")
	response, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var result struct{ Predictions []string }
	if err := json.NewDecoder(response.Body).Decode(&result); err != nil {
		return nil, fmt.Errorf("read the answer of %s, %s: %w", r.URL, response.Status, err)
	}
	if n := len(result.Predictions); n != 5 {
		return nil, fmt.Errorf("%s answers %s with %d labels, want 5", r.URL, response.Status, n)
	}
	return result.Predictions, nil
}

// Send sends one picture and waits for its answer.
type Send func(ctx context.Context, picture []byte) error

// Turn keeps requests in flight for so long, each with the next of the pictures, and returns how many were answered and how long that
// took.
func Turn(ctx context.Context, clients int, length time.Duration, pictures [][]byte, send Send) (answered int, took time.Duration, err error) {
	if len(pictures) == 0 {
		return 0, 0, errors.New("no pictures to send")
	}
	start := time.Now()
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range clients {
		g.Go(func() error {
			for time.Since(start) < length {
				if err := send(ctx, pictures[int(next.Add(1))%len(pictures)]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return int(next.Load()), time.Since(start), err
}
