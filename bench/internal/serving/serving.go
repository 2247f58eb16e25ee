//go:build linux

// Package serving runs servers that classify pictures as processes, for programs that measure them, and keeps a number of requests in
// flight at one.
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
	"runtime"
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

// Start starts a server and waits until it is ready: until it writes a line of JSON on stderr with the message "replica ready" and its
// URL, as a replica logs. The server ends with ctx, or with this process.
func Start(ctx context.Context, command string, args ...string) (*Server, error) {
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
	var said bytes.Buffer
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "replica ready" {
			s := &Server{line.URL, c.Process.Pid, c, make(chan struct{}), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
			go func() {
				defer close(s.drained)
				_, _ = io.Copy(io.Discard, log) // a line per image, until the server ends
			}()
			return s, nil
		}
		said.Write(append(lines.Bytes(), '\n'))
	}
	return nil, fmt.Errorf("%s ended instead of serving: %w\n%s", command, c.Wait(), said.Bytes())
}

// Stop interrupts the server and waits until it has ended.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(os.Interrupt) // an error says that it has ended
	<-s.drained
	_ = s.cmd.Wait() // likewise
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
