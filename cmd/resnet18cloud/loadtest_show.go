package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/report"
)

// show has a run seen as it goes on: drawn on a terminal, as lines elsewhere or with --log. The function it
// returns ends that.
func (c *loadtestRunCmd) show(w io.Writer, config *load.Config) (end func()) {
	if f, ok := w.(*os.File); ok && !c.Log && term.IsTerminal(int(f.Fd())) {
		return drawn(w, config)
	}
	log := prototypeLog(w)
	log("Found %d image files", len(config.Images))
	log("Starting load test - Images per second schedule: %s", list(config.Schedule.PerSecond()))
	if config.Workers > 0 {
		log("Max workers: %d", config.Workers)
	} else {
		log("Max workers: no bound (open loop)")
	}
	config.Second = func(second, images int) { log("Second %d: Sending %d images", second, images) }
	return func() {}
}

func drawn(w io.Writer, config *load.Config) (end func()) {
	live := report.NewLive(config.Schedule.Name, config.Schedule.PerSecond())
	stop, done := make(chan struct{}), make(chan struct{})
	begin, record := config.Begin, config.Record
	started := false
	config.Begin = func(h load.Header) {
		begin(h)
		started = true
		go func() { defer close(done); live.Run(w, stop) }()
	}
	config.Record = func(r load.Record) { record(r); live.Record(r) }
	config.Sample = live.Sample
	return func() {
		close(stop)
		if started {
			<-done
		}
	}
}

// prototypeLog writes lines as the prototype's load tester does.
func prototypeLog(w io.Writer) func(format string, args ...any) {
	return func(format string, args ...any) {
		stamp := strings.Replace(time.Now().Format("2006-01-02 15:04:05.000"), ".", ",", 1)
		fmt.Fprintf(w, "%s - INFO - %s\n", stamp, fmt.Sprintf(format, args...))
	}
}

// list formats numbers as Python prints them.
func list(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(n)
	}
	return "[" + strings.Join(words, ", ") + "]"
}
