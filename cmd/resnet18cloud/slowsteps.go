//go:build !only_replica && !only_dispatcher

package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// slowSteps names the steps of a command that take over a second, when they have taken that long, and says how fast each was.
// Without such steps it writes nothing. The zero value needs W. Its methods are for one goroutine.
type slowSteps struct {
	W io.Writer

	mu    sync.Mutex // guards the following fields, and W while a step goes on
	name  string     // of the step; empty if there is none
	told  bool
	start time.Time
	bytes int64
	timer *time.Timer
}

// slow is the time after which a step is worth a line.
const slow = time.Second

// begin begins a step, and ends the one before. bytes is the amount of data that it goes through, 0 if that is not known.
func (s *slowSteps) begin(name string, bytes int64) {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name, s.told, s.start, s.bytes = name, false, time.Now(), bytes
	var own *time.Timer
	own = time.AfterFunc(slow, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.timer == own { // it has not ended in the meantime
			s.told = true
			fmt.Fprintf(s.W, "%s%s ...\n", s.name, size(s.bytes))
		}
	})
	s.timer = own
}

// end ends the step, if there is one.
func (s *slowSteps) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer == nil {
		return
	}
	s.timer.Stop()
	s.timer = nil
	if !s.told {
		return
	}
	took := time.Since(s.start)
	pace := ""
	if s.bytes > 0 {
		pace = fmt.Sprintf(", %.1f MiB/s", float64(s.bytes)/took.Seconds()/(1<<20))
	}
	fmt.Fprintf(s.W, "%s: took %s%s\n", s.name, took.Round(100*time.Millisecond), pace)
}

// size is ", 44.6 MiB", or empty if it is not known.
func size(bytes int64) string {
	if bytes <= 0 {
		return ""
	}
	return fmt.Sprintf(", %.1f MiB", float64(bytes)/(1<<20))
}

// fileSize is the size of a file, 0 if it is not known, as of a folder.
func fileSize(path string) int64 {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}
