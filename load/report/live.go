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

// Live shows a run on a terminal while it goes on: how far it is, what was due and answered, what it felt like,
// and how the server is. Its methods may be called by several goroutines.
type Live struct {
	name     string
	due      []int // per second
	interval time.Duration
	// size tells the terminal's columns and rows: a line that is longer would wrap, and then stay when the view is
	// drawn anew.
	size func() (columns, rows int)

	mu      sync.Mutex // guards what follows
	summary *result.Summary
	recent  []answer // of the last liveSeconds
	sample  *result.Sample
	lines   int // drawn last
}

// answer is one that came, in times since the start.
type answer struct{ done, latency time.Duration }

// NewLive makes a view of a run that sends due images in each second, for a terminal whose columns and rows size
// tells.
func NewLive(name string, due []int, size func() (columns, rows int)) *Live {
	return &Live{name: name, due: due, interval: 250 * time.Millisecond, size: size, summary: result.NewSummary()}
}

// Record takes notice of a request that has ended.
func (l *Live) Record(r result.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.summary.Add(r)
	if r.OK() {
		l.recent = append(l.recent, answer{r.Done, r.Latency()})
	}
}

// latency writes percentiles of the answers of the last seconds. By when they came, not when they were due: an
// overloaded server's last answers are to requests of long ago.
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
	return fmt.Sprintf("p50 %s  p99 %s  longest %s ms, of the last %d seconds", short(latencies[(n-1)/2]), short(latencies[(n-1)*99/100]), short(latencies[n-1]), liveSeconds)
}

// Sample takes notice of what the server says of itself.
func (l *Live) Sample(s result.Sample) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sample = &s
}

// Run draws on a terminal until stop closes, and then wipes what it drew.
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

// fitted is the frame cut to what the terminal can show: the last column stays free, as writing there wraps on
// some.
func (l *Live) fitted(elapsed time.Duration) []string {
	columns, rows := l.size()
	lines := l.Frame(elapsed, columns)
	lines = lines[:min(len(lines), max(rows-1, 1))]
	for i, line := range lines {
		lines[i] = cut(line, columns-1)
	}
	return lines
}

// draw puts lines where it put the last ones.
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
	liveSeconds = 5  // that percentiles are of
	liveBeside  = 20 // characters beside the curves
)

// Frame is what there is to see at a time since the start, with curves that fill so many columns.
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
		fmt.Sprintf("second   %d of %d, schedule %s", min(now, total), total, l.name),
		fmt.Sprintf("        [%s%s]", strings.Repeat("=", done), strings.Repeat(" ", width-done)),
		fmt.Sprintf("due      %s %6d/s", curve(l.due, now, width), at(l.due, now-1)),
		fmt.Sprintf("answered %s %6d/s", curve(answered, now, width), at(answered, now-1)),
		fmt.Sprintf("so far   %d answered, %d failed, %d sent late", s.OK, s.Sent-s.OK, s.Late),
		"latency  " + l.latency(elapsed),
	}
	if s := l.sample; s != nil && s.HasStatus {
		lines = append(lines, fmt.Sprintf("server   %d waiting, %d in work; replicas: %d", s.Queue, s.Processing, s.Replicas))
	}
	for _, kind := range s.Kinds() {
		lines = append(lines, fmt.Sprintf("failed   %d x %s: %s", s.Errors[kind], kind, clean(s.Examples[kind])))
	}
	return lines
}

func at(values []int, i int) int {
	if i < 0 || i >= len(values) {
		return 0
	}
	return values[i]
}

// curve draws the last seconds before now, as many as fit, the highest of them at full height.
func curve(values []int, now, width int) string {
	first := max(0, now-width)
	most := 1
	for i := first; i < now; i++ {
		most = max(most, at(values, i))
	}
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	line := make([]rune, width)
	for i := range line {
		line[i] = ' '
		if first+i < now {
			line[i] = blocks[at(values, first+i)*(len(blocks)-1)/most]
		}
	}
	return string(line)
}
