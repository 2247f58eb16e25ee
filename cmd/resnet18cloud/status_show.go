//go:build !only_replica

package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// value returns a figure of the i-th last sample, 1 for the newest. ok is false if it is unknown.
func (b *statusBoard) value(i int, column string) (v float64, ok bool) {
	place := slices.Index(b.Columns, column)
	if i < 1 || i > len(b.Rows) || place < 0 {
		return 0, false
	}
	row := b.Rows[len(b.Rows)-i]
	if place >= len(row) || row[place] == nil {
		return 0, false
	}
	return *row[place], true
}

// now is a figure of the newest sample; 0 if it is unknown.
func (b *statusBoard) now(column string) float64 {
	v, _ := b.value(1, column)
	return v
}

// recent is the median of a figure over the last n samples in which it is known.
func (b *statusBoard) recent(n int, column string) (v float64, ok bool) {
	var values []float64
	for i := range n {
		if v, ok := b.value(i+1, column); ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	return values[len(values)/2], true
}

// cached is the share of results from the cache over the known samples, in percent.
func (b *statusBoard) cached() string {
	var cached, completed float64
	for i := range b.Rows {
		c, _ := b.value(i+1, "cached")
		all, _ := b.value(i+1, "completed")
		cached, completed = cached+c, completed+all
	}
	if completed == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*cached/completed)
}

// millis writes a time in milliseconds with its unit.
func millis(v float64, ok bool) string {
	switch {
	case !ok:
		return "-"
	case v < 10:
		return fmt.Sprintf("%.2f ms", v)
	case v < 1000:
		return fmt.Sprintf("%.0f ms", v)
	}
	return fmt.Sprintf("%.1f s", v/1000)
}

// equalShare writes how many of n images are equal. It does not round up: 100.0 % means all.
func equalShare(equal, n int) string {
	if n <= 0 {
		return "0"
	}
	return fmt.Sprintf("%.1f %% of %d", math.Floor(1000*float64(equal)/float64(n))/10, n)
}

func (b *statusBoard) wait() string {
	v, ok := b.value(1, "wait")
	return millis(1000*v, ok)
}

func (b *statusBoard) at() string { return time.Unix(int64(b.now("at")), 0).Format(time.TimeOnly) }

// line is the newest sample on one line.
func (b *statusBoard) line() string {
	quantile := func(q string) string { v, ok := b.value(1, "total_"+q); return millis(v, ok) }
	agree := ""
	if all := b.State.Agree; all != nil {
		agree = "  " + cmp.Or(all.Precision, "int8") + " agreement " + equalShare(all.Equal, all.Compared)
	}
	return fmt.Sprintf("%s  offered %.1f/s  completed %.1f/s  refused %.1f/s  waiting %.0f of %d  result in %s  p50 %s  p95 %s  p99 %s  cache %s  replicas %.0f of %.0f%s",
		b.at(), b.now("offered"), b.now("completed"), b.now("refused"), b.now("waiting"), b.State.Capacity, b.wait(),
		quantile("p50"), quantile("p95"), quantile("p99"), b.cached(), b.now("healthy"), b.now("replicas"), agree)
}

// object is the newest sample with the state, for JSON.
func (b *statusBoard) object() any {
	sample := map[string]*float64{}
	for i, column := range b.Columns {
		sample[column] = b.Rows[len(b.Rows)-1][i]
	}
	return map[string]any{"sample": sample, "state": b.State.raw}
}

// bars are eight heights.
var bars = []rune("▁▂▃▄▅▆▇█")

// spark draws the last samples of a figure, with the largest value as the highest bar.
func (b *statusBoard) spark(column string, width int) string {
	n := min(width, len(b.Rows))
	top := 1e-9
	for i := range n {
		v, _ := b.value(i+1, column)
		top = max(top, v)
	}
	var s strings.Builder
	for i := n; i >= 1; i-- {
		v, ok := b.value(i, column)
		switch {
		case !ok:
			s.WriteByte(' ')
		default:
			s.WriteRune(bars[min(len(bars)-1, max(0, int(v/top*float64(len(bars)-1)+0.5)))])
		}
	}
	return s.String()
}

// screen is everything, in lines that fit the terminal. Events get the lines that are left.
func (b *statusBoard) screen(width, height int) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("ResNet18Cloud  %s", b.at())
	for _, problem := range []string{b.State.Storage, b.State.Warning} {
		if problem != "" {
			add("! %s", problem)
		}
	}
	if b.State.Stopping {
		add("! the dispatcher is stopping")
	}
	add("")
	for _, name := range []string{"offered", "completed", "cached", "refused", "failed", "unusable"} {
		add("%-10s %7.1f images/s  %s", name, b.now(name), b.spark(name, min(60, width-32)))
	}
	add("%-10s %7.0f of %-6d   %s", "waiting", b.now("waiting"), b.State.Capacity, b.spark("waiting", min(60, width-32)))
	add("result in  %s    from cache %s, last minute", b.wait(), b.cached())
	add("")
	add("%-11s %9s %9s %9s   median of the last 10 s; total includes answers from the cache", "stage", "p50", "p95", "p99")
	for _, column := range b.Columns {
		stage, isStage := strings.CutSuffix(column, "_p50")
		if !isStage {
			continue
		}
		var q [3]string
		for i, name := range []string{"_p50", "_p95", "_p99"} {
			q[i] = millis(b.recent(10, stage+name))
		}
		add("%-11s %9s %9s %9s", stage, q[0], q[1], q[2])
	}
	add("")
	add("%-28s %-10s %9s %9s %9s %5s  %s", "replica", "state", "in flight", "images/s", "latency", "CPU", "model")
	for i := range b.State.Replicas {
		r := &b.State.Replicas[i]
		state := "healthy"
		if !r.Healthy {
			state = "unhealthy"
		}
		add("%-28s %-10s %4d of %-2d %9.1f %9s %4.0f%%  %s %s", strings.TrimPrefix(r.URL, "http://"), state, r.InFlight, r.Slots, r.Images,
			millis(1000*r.Latency, r.Latency > 0), 100*r.Busy, r.Model, r.Precision)
		if r.Problem != "" {
			add("    %s", r.Problem)
		}
		if q := r.Quantization; q != nil {
			add("    %s is %s; same label as fp32: %s images", cmp.Or(q.Precision, "int8"), q.State, equalShare(q.Equal, q.Compared))
		}
	}
	if all := b.State.Agree; all != nil {
		precision := cmp.Or(all.Precision, "int8")
		add("%[1]s agreement  %[2]s images got the same best label from %[1]s as from fp32", precision, equalShare(all.Equal, all.Compared))
	}
	lines = append(lines, b.scaling()...)
	if len(b.Events) > 0 {
		add("")
		add("events")
		left := max(3, height-len(lines))
		for i := len(b.Events) - 1; i >= max(0, len(b.Events)-min(10, left)); i-- {
			e := b.Events[i]
			add("%s  %s", e.At.Local().Format(time.TimeOnly), e.Text)
		}
	}
	for i, l := range lines {
		if line := []rune(printable(l)); len(line) > width && height < 1000 {
			lines[i] = string(line[:max(0, width)])
		} else {
			lines[i] = string(line)
		}
	}
	return lines[:min(len(lines), max(1, height))]
}

// scaling is what the autoscaler does and why.
func (b *statusBoard) scaling() []string {
	s := b.State.Scaling
	if s == nil {
		return nil
	}
	lines := []string{""}
	if s.Problem != "" {
		lines = append(lines, "autoscaler  does not answer: "+s.Problem)
	}
	if m := s.Summary; m != nil {
		lines = append(lines, fmt.Sprintf("autoscaler  policy %s wants %d; %d ready, %d starting", m.Policy, m.Replicas, m.Ready, m.Starting))
		if m.Problem != "" {
			lines = append(lines, "  ! "+m.Problem)
		}
		for _, why := range m.Why {
			lines = append(lines, "  because  "+why)
		}
		for _, change := range m.Changes {
			lines = append(lines, "  unless   "+change)
		}
		if m.Later != "" {
			lines = append(lines, "  "+m.Later)
		}
	}
	return lines
}
