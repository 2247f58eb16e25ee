package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load"
)

// Live shows a run on a terminal while it goes on: how far it is, what was due and answered, what it felt like,
// and how the server is. Its methods may be called by several goroutines.
type Live struct {
	name     string
	due      []int // per second
	interval time.Duration

	mu      sync.Mutex // guards what follows
	summary *load.Summary
	sample  *load.Sample
	lines   int // drawn last
}

// NewLive makes a view of a run that sends due images in each second.
func NewLive(name string, due []int) *Live {
	return &Live{name: name, due: due, interval: 250 * time.Millisecond, summary: load.NewSummary()}
}

// Record takes notice of a request that has ended.
func (l *Live) Record(r load.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.summary.Add(r)
}

// Sample takes notice of what the server says of itself.
func (l *Live) Sample(s load.Sample) {
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
		l.draw(w, l.Frame(time.Since(start)))
		select {
		case <-ticker.C:
		case <-stop:
			l.draw(w, nil)
			return
		}
	}
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
	liveWidth   = 40 // of bar and curves, in characters
	liveSeconds = 5  // that percentiles are of
)

// Frame is what there is to see at a time since the start.
func (l *Live) Frame(elapsed time.Duration) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, total := int(elapsed/time.Second), len(l.due)
	answered := make([]int, max(total, len(l.summary.Timeline)))
	for i := range l.summary.Timeline {
		answered[i] = l.summary.Timeline[i].Answered
	}
	done := min(now*liveWidth/max(total, 1), liveWidth)
	lines := []string{
		fmt.Sprintf("[%s%s] %d s of %d  %s", strings.Repeat("=", done), strings.Repeat(" ", liveWidth-done), min(now, total), total, l.name),
		fmt.Sprintf("due      %s %6d/s", curve(l.due, now), at(l.due, now-1)),
		fmt.Sprintf("answered %s %6d/s   %d of %d, %d failed", curve(answered, now), at(answered, now-1), l.summary.OK, l.summary.Sent, l.summary.Sent-l.summary.OK),
	}
	recent := l.summary.Between(now-liveSeconds, now)
	p50, p99, longest := recent.Percentile(50), recent.Percentile(99), recent.Max()
	lines = append(lines, fmt.Sprintf("latency  p50 %s  p99 %s  longest %s ms, of the last %d seconds", short(p50), short(p99), short(longest), liveSeconds))
	if s := l.sample; s != nil {
		lines = append(lines, fmt.Sprintf("server   %d waiting, %d in work; replicas: %d", s.Queue, s.Processing, s.Replicas))
	}
	for _, kind := range l.summary.Kinds() {
		lines = append(lines, fmt.Sprintf("failed   %d x %s: %.100s", l.summary.Errors[kind], kind, l.summary.Samples[kind]))
	}
	return lines
}

func at(values []int, i int) int {
	if i < 0 || i >= len(values) {
		return 0
	}
	return values[i]
}

// curve draws the seconds before now, the highest of them at full height.
func curve(values []int, now int) string {
	first := max(0, now-liveWidth)
	most := 1
	for i := first; i < now; i++ {
		most = max(most, at(values, i))
	}
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	line := make([]rune, liveWidth)
	for i := range line {
		line[i] = ' '
		if first+i < now {
			line[i] = blocks[at(values, first+i)*(len(blocks)-1)/most]
		}
	}
	return string(line)
}
