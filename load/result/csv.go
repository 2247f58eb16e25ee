package result

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// csvHeads are the columns of a timeline as CSV. Latencies are of the requests due in a second, in milliseconds; the last
// three columns are the server's state at the end of it, as the server reports it.
var csvHeads = []string{
	"second", "scheduled", "sent", "answered", "from_cache", "failed", "p50_ms", "p95_ms", "p99_ms", "max_ms", "computed_p50_ms", "computed_p99_ms",
	"waiting", "in_progress", "replicas",
}

// WriteCSV writes the timeline, a line for each second, for spreadsheets. What is not known is empty.
func (s *Summary) WriteCSV(w io.Writer) error {
	lines := csv.NewWriter(w)
	_ = lines.Write(csvHeads) // Flush keeps its error
	samples := s.Server
	var state *Sample
	for i := range s.Timeline {
		t := &s.Timeline[i]
		state = nil
		for len(samples) > 0 && samples[0].At < time.Duration(i+1)*time.Second {
			if samples[0].HasStatus {
				state = &samples[0]
			}
			samples = samples[1:]
		}
		line := []string{
			strconv.Itoa(i), strconv.Itoa(t.Offered), strconv.Itoa(t.Sent), strconv.Itoa(t.Answered), strconv.Itoa(t.Cached), strconv.Itoa(t.Failed),
			csvMilliseconds(t.Percentile(50)), csvMilliseconds(t.Percentile(95)), csvMilliseconds(t.Percentile(99)), csvMilliseconds(t.Max()),
			csvMilliseconds(t.PercentileComputed(50)), csvMilliseconds(t.PercentileComputed(99)), "", "", "",
		}
		if state != nil {
			copy(line[len(line)-3:], []string{strconv.Itoa(state.Queue), strconv.Itoa(state.Processing), strconv.Itoa(state.Replicas)})
		}
		_ = lines.Write(line)
	}
	lines.Flush()
	if err := lines.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// csvMilliseconds is empty where there was no answer.
func csvMilliseconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 3, 64)
}

// WriteCSVFile writes the timeline to a file.
func (s *Summary) WriteCSVFile(path string) error {
	var b bytes.Buffer
	if err := s.WriteCSV(&b); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}
