package board

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var h histogram
	if !math.IsNaN(h.quantile(0.5)) {
		t.Error("an empty histogram has a median")
	}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	for q, want := range map[float64]float64{0.5: 500, 0.95: 950, 0.99: 990} {
		if got := h.quantile(q); math.Abs(got/want-1) > 0.06 {
			t.Errorf("quantile %g = %.1f ms, want %.0f within 6 %%", q, got, want)
		}
	}
	for _, extreme := range []time.Duration{-1, 0, 1, time.Hour, math.MaxInt64} {
		h.add(extreme) // must not panic
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	var tally Tally
	for range 4 {
		tally.Accepted()
	}
	tally.Refused()
	tally.Failed()
	tally.Unusable()
	tally.Unusable()
	tally.Completed(true, time.Millisecond, resnet18cloud.Timing{Cache: time.Millisecond})
	tally.Completed(false, 40*time.Millisecond, resnet18cloud.Timing{Queue: 10 * time.Millisecond, Inference: 20 * time.Millisecond})
	tally.Answered("a", 20*time.Millisecond, 30*time.Millisecond)
	tally.Answered("a", 20*time.Millisecond, 30*time.Millisecond)
	var s Sample
	work := tally.Take(&s, 2*time.Second)
	if got, want := fmt.Sprint(s.Offered, s.Completed, s.Cached, s.Refused, s.Failed, s.Unusable), "2.5 1 0.5 0.5 0.5 1"; got != want {
		t.Errorf("rates %s, want %s", got, want)
	}
	if w := work["a"]; w != (Work{2, 40 * time.Millisecond, 60 * time.Millisecond}) {
		t.Errorf("work %+v", w)
	}
	for i, name := range Stages {
		seen := name == "total" || name == "cache" || name == "queue" || name == "inference"
		if p50 := s.Latency[i][0]; math.IsNaN(p50) == seen {
			t.Errorf("%s: p50 %v", name, p50)
		}
	}
	if p95 := s.Latency[0][1]; math.Abs(p95/40-1) > 0.06 {
		t.Errorf("p95 of total %v ms, want 40", p95)
	}
	if work = tally.Take(&s, time.Second); s.Offered != 0 || !math.IsNaN(s.Latency[0][0]) || len(work) != 0 {
		t.Error("the next sample has what the last one counted")
	}
}

// history decodes what a viewer receives first.
type history struct {
	Columns []string
	Rows    [][]*float64
	Events  []Event
	State   *string
}

func join(t *testing.T, b *Board, a Audience, n int) (*Viewer, history) {
	t.Helper()
	v, data, err := b.Join(a, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Leave)
	var h history
	if err := json.Unmarshal(data, &h); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v, h
}

func frame(second int) Frame {
	f := Frame{Sample: Sample{At: time.Unix(int64(second), 0), Wait: math.NaN()}}
	f.State = [audiences]any{"names", "addresses"}
	if second%100 == 0 {
		event := Event{At: f.Sample.At, Kind: "info", Text: fmt.Sprint(second)}
		f.Events = [audiences][]Event{nil, {event}}
	}
	return f
}

// TestBoardKeepsAnHour checks the ring at its edges: the newest samples are there, in order, and no more than an hour.
func TestBoardKeepsAnHour(t *testing.T) {
	t.Parallel()
	var b Board
	if _, h := join(t, &b, Readers, 10); len(h.Rows) != 0 || h.State != nil {
		t.Errorf("an empty board has %+v", h)
	}
	for second := 1; second <= Kept+250; second++ {
		if err := b.Publish(frame(second)); err != nil {
			t.Fatal(err)
		}
		if second != 3 && second != Kept && second != Kept+1 && second != Kept+250 {
			continue
		}
		for _, n := range []int{0, 2, Kept, 2 * Kept} {
			_, h := join(t, &b, Operators, n)
			want := min(n, second, Kept)
			if len(h.Rows) != want {
				t.Fatalf("after %d samples, asked for %d: %d rows, want %d", second, n, len(h.Rows), want)
			}
			for i, row := range h.Rows {
				if len(row) != len(h.Columns) || *row[0] != float64(second-want+1+i) {
					t.Fatalf("after %d samples, row %d of %d has time %v", second, i, want, *row[0])
				}
			}
		}
	}
	_, h := join(t, &b, Readers, 1)
	if len(h.Events) != 0 || *h.State != "names" {
		t.Errorf("readers see %+v, %q", h.Events, *h.State)
	}
	_, h = join(t, &b, Operators, 1)
	if len(h.Events) != (Kept+250)/100 || *h.State != "addresses" {
		t.Errorf("operators see %d events, %q", len(h.Events), *h.State)
	}
	if h.Rows[0][slices.Index(Columns(), "wait")] != nil {
		t.Error("an unknown wait is not null")
	}
}

func TestViewers(t *testing.T) {
	t.Parallel()
	var b Board
	slow, _ := join(t, &b, Readers, 0)
	quick, _ := join(t, &b, Operators, 0)
	for second := range buffered + 1 {
		if err := b.Publish(frame(second)); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Row   []*float64
			State string
		}
		if err := json.Unmarshal(<-quick.Frames(), &got); err != nil || *got.Row[0] != float64(second) || got.State != "addresses" {
			t.Fatalf("frame %d: %+v, %v", second, got, err)
		}
	}
	n := 0
	for range slow.Frames() { // ends, because the viewer was dropped
		n++
	}
	if n != buffered || b.Viewers() != 1 {
		t.Errorf("the slow viewer got %d frames and %d viewers are left, want %d and 1", n, b.Viewers(), buffered)
	}
	slow.Leave() // again
	for b.Viewers() < MaxViewers {
		join(t, &b, Readers, 0)
	}
	if _, _, err := b.Join(Readers, 0); !errors.Is(err, ErrFull) {
		t.Errorf("one viewer too many: %v", err)
	}
	b.Close()
	if _, open := <-quick.Frames(); open {
		t.Error("a stream goes on after Close")
	}
	if _, _, err := b.Join(Readers, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("join after Close: %v", err)
	}
	quick.Leave()
}

func TestAppendNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 7: "7", 1234567: "1234567", 123.456: "123", 12.345: "12.3", 1.2345: "1.23", 0.12345: "0.123", 0.0001: "0", math.Inf(1): "null"} {
		if got := string(appendNumber(nil, v)); got != want {
			t.Errorf("%v is written as %s, want %s", v, got, want)
		}
	}
	if got := string(appendNumber(nil, math.NaN())); got != "null" {
		t.Errorf("NaN is written as %s", got)
	}
}
