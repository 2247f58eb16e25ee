// Package resulttest makes results for tests of the packages that read them.
package resulttest

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// Noon is a start time of runs.
var Noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// Run returns the summary and the records of n requests at ten per second. The i-th takes i milliseconds, every tenth
// fails, and the first is sent a second late.
func Run(started time.Time, n int) (*result.Summary, []result.Record) {
	s := result.NewSummary()
	s.Started, s.Schedule, s.Target = started, "constant:10:1m", "http://server (sync)"
	var records []result.Record
	for i := range n {
		due := time.Duration(i) * 100 * time.Millisecond
		r := result.Record{File: "a.jpg", Intended: due, Sent: due, Accepted: due, Done: due + time.Duration(i+1)*time.Millisecond}
		if i == 0 {
			r.Sent += time.Second
			r.Accepted, r.Done = r.Sent, r.Sent
		}
		if i%10 == 9 {
			r.Error, r.Detail = "full", "Queue is full"
		}
		s.Add(r)
		s.Elapsed = max(s.Elapsed, r.Done)
		records = append(records, r)
	}
	return s, records
}
