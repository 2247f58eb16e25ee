//go:build !only_replica && !only_dispatcher

package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/report"
	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// show displays a run: as a live view on a terminal, as lines otherwise or with --log. The function it returns ends
// that.
func (c *loadtestRunCmd) show(w io.Writer, config *load.Config) (end func()) {
	if c.drawable(w) {
		var s screen
		s.watch(config)
		begin := config.Begin
		config.Begin = func(h result.Header) { begin(h); s.start(w, config.Schedule.Name, config.Schedule.PerSecond()) }
		return s.end
	}
	log := prototypeLog(w)
	log("Found %d image files", len(config.Images))
	log("Starting load test - Images per second schedule: %s", list(config.Schedule.PerSecond()))
	if config.Workers > 0 {
		log("Max workers: %d", config.Workers)
	} else {
		log("Max workers: unlimited (open loop)")
	}
	config.Second = func(second, images int) { log("Second %d: Sending %d images", second, images) }
	return func() {}
}

// drawable reports whether to draw a live view instead of lines.
func (c *loadtestRunCmd) drawable(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && !c.Log && term.IsTerminal(int(f.Fd()))
}

// screen is the live view of runs on a terminal, one after the other.
type screen struct {
	live       atomic.Pointer[report.Live]
	stop, done chan struct{}
}

// watch makes runs report to the screen.
func (s *screen) watch(config *load.Config) {
	record := config.Record
	config.Record = func(r result.Record) {
		if record != nil {
			record(r)
		}
		if live := s.live.Load(); live != nil {
			live.Record(r)
		}
	}
	config.Sample = func(sample result.Sample) {
		if live := s.live.Load(); live != nil {
			live.Sample(sample)
		}
	}
}

// start draws a run that sends due images in each second, until end.
func (s *screen) start(w io.Writer, name string, due []int) {
	live := report.NewLive(name, due, func() (columns, rows int) {
		if f, ok := w.(*os.File); ok {
			columns, rows, _ = term.GetSize(int(f.Fd()))
		}
		return cmp.Or(columns, 80), cmp.Or(rows, 24)
	})
	s.live.Store(live)
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	go func() { defer close(s.done); live.Run(w, s.stop) }()
}

// end clears the screen. It does nothing if nothing was started.
func (s *screen) end() {
	if s.stop != nil {
		close(s.stop)
		<-s.done
		s.stop = nil
	}
}

// prototypeLog writes lines as the prototype's load tester does.
func prototypeLog(w io.Writer) func(format string, args ...any) {
	return func(format string, args ...any) {
		stamp := strings.Replace(time.Now().Format("2006-01-02 15:04:05.000"), ".", ",", 1)
		fmt.Fprintf(w, "%s - INFO - %s\n", stamp, fmt.Sprintf(format, args...))
	}
}

// list formats numbers as Python prints them; of more than ten minutes only the first few.
func list(numbers []int) string {
	shown, end := numbers, "]"
	if len(numbers) > 600 {
		shown, end = numbers[:10], fmt.Sprintf(", ...] (%d seconds)", len(numbers))
	}
	words := make([]string, len(shown))
	for i, n := range shown {
		words[i] = strconv.Itoa(n)
	}
	return "[" + strings.Join(words, ", ") + end
}
