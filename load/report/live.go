package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// Live shows the progress of a run on a terminal: requests scheduled and answered, latency, and the state of the server.
// It is safe for concurrent use.
type Live struct {
	name     string
	due      []int // per second
	interval time.Duration
	// size returns the terminal's columns and rows. A longer line would wrap, and remain when the view is redrawn.
	size func() (columns, rows int)

	mu      sync.Mutex // guards the following fields
	summary *result.Summary
	recent  []answer // of the last liveSeconds
	sample  *result.Sample
	lines   int // number drawn last
}

// answer is a successful request.
type answer struct{ done, latency time.Duration }

// NewLive returns a view of a run that sends due images in each second, for a terminal of a size that may change.
func NewLive(name string, due []int, size func() (columns, rows int)) *Live {
	return &Live{name: name, due: due, interval: 250 * time.Millisecond, size: size, summary: result.NewSummary()}
}

// Record adds a request that has ended.
func (l *Live) Record(r result.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.summary.Add(r)
	if r.OK() {
		l.recent = append(l.recent, answer{r.Done, r.Latency()})
	}
}

// latency writes percentiles of the answers received in the last seconds. An overloaded server's last answers are to
// requests that were due long before.
func (l *Live) latency(elapsed time.Duration) string {
	l.recent = slices.DeleteFunc(l.recent, func(a answer) bool { return a.done < elapsed-liveSeconds*time.Second })
	if len(l.recent) == 0 {
		return fmt.Sprintf("no answer in the last %d seconds", liveSeconds)
	}
	latencies := make([]time.Duration, len(l.recent))
	for i, a := range l.recent {
		latencies[i] = a.latency
	}
	slices.Sort(latencies)
	n := len(latencies)
	return fmt.Sprintf("p50 %s  p99 %s  max %s ms, in the last %d seconds", short(latencies[(n-1)/2]), short(latencies[(n-1)*99/100]), short(latencies[n-1]), liveSeconds)
}

// Sample sets the state of the server.
func (l *Live) Sample(s result.Sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sample = &s
}

// Run draws on a terminal until stop is closed, and then erases the view.
func (l *Live) Run(w io.Writer, stop <-chan struct{}) {
	start := time.Now()
	ticker := time.NewTicker(l.interval)
	defer ticker.Stop()
	for {
		l.draw(w, l.fitted(time.Since(start)))
		select {
		case <-ticker.C:
		case <-stop:
			l.draw(w, nil)
			return
		}
	}
}

// fitted returns the frame, cut to the terminal's size. The last column stays free, because some terminals wrap there.
func (l *Live) fitted(elapsed time.Duration) []string {
	columns, rows := l.size()
	lines := l.Frame(elapsed, columns)
	lines = lines[:min(len(lines), max(rows-1, 1))]
	for i, line := range lines {
		lines[i] = cut(line, columns-1)
	}
	return lines
}

// draw replaces the lines that it drew last.
func (l *Live) draw(w io.Writer, lines []string) {
	var b strings.Builder
	if l.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", l.lines)
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	l.lines = len(lines)
	_, _ = io.WriteString(w, b.String())
}

const (
	liveSeconds = 5  // of answers in percentiles
	liveBeside  = 21 // characters beside the curves
)

// Frame returns the view at a time since the start, for a number of columns.
func (l *Live) Frame(elapsed time.Duration, columns int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, now, total := l.summary, int(elapsed/time.Second), len(l.due)
	answered := make([]int, max(total, len(s.Timeline)))
	for i := range s.Timeline {
		answered[i] = s.Timeline[i].Answered
	}
	width := max(10, columns-liveBeside)
	done := min(now*width/max(total, 1), width)
	lines := []string{
		fmt.Sprintf("second    %d of %d, schedule %s", min(now, total), total, l.name),
		fmt.Sprintf("         [%s%s]", strings.Repeat("=", done), strings.Repeat(" ", width-done)),
		fmt.Sprintf("scheduled %s %6d/s", curve(l.due, now, width), at(l.due, now-1)),
		fmt.Sprintf("answered  %s %6d/s", curve(answered, now, width), at(answered, now-1)),
		fmt.Sprintf("so far    %d answered (%d from the cache), %d failed, %d sent late", s.OK, s.Cached, s.Sent-s.OK, s.Late),
		"latency   " + l.latency(elapsed),
	}
	if s := l.sample; s != nil && s.HasStatus {
		lines = append(lines, fmt.Sprintf("server    %d waiting, %d in progress; replicas: %d", s.Queue, s.Processing, s.Replicas))
	}
	for _, kind := range s.Kinds() {
		lines = append(lines, fmt.Sprintf("failed    %d x %s: %s", s.Errors[kind], kind, clean(s.Examples[kind])))
	}
	return lines
}

func at(values []int, i int) int {
	if i < 0 || i >= len(values) {
		return 0
	}
	return values[i]
}

// curve draws the last seconds before now, as many as fit. The highest has the full height.
func curve(values []int, now, width int) string {
	first := max(0, now-width)
	highest := 1
	for i := first; i < now; i++ {
		highest = max(highest, at(values, i))
	}
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	line := make([]rune, width)
	for i := range line {
		line[i] = ' '
		if first+i < now {
			line[i] = blocks[at(values, first+i)*(len(blocks)-1)/highest]
		}
	}
	return string(line)
}
