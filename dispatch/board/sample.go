// Package board keeps what the dashboard shows: one [Sample] a second for the last hour, recent events, and the viewers
// that receive each new sample. The dispatcher counts into a [Tally] and publishes; nothing here knows about HTTP or reads
// a clock.
//
// The one thing to know: a sample is encoded once, when it is taken. History and streams reuse those bytes, so another
// viewer costs a write, not an encoding.
package board

import (
	"math"
	"strconv"
	"time"
)

// Sample are the figures of one second. Rates are images per second.
type Sample struct {
	At        time.Time
	Offered   float64 // arrived: accepted, answered from the cache, or refused
	Completed float64 // got a result, with those from the cache
	Cached    float64 // got it from the cache
	Refused   float64 // found no room
	Failed    float64 // accepted, but ended without a result, for another reason than their image
	Unusable  float64 // ended without a result because their image cannot be classified, whoever tries
	Waiting   int     // images in the queue
	Working   int     // images at replicas
	Wait      float64 // estimated time to the result for an image that arrives now, seconds; NaN if unknown
	Healthy   int     // replicas that get images
	Replicas  int     // replicas that are known
	Workers   int     // images that the healthy ones process at a time

	// Latency is the time in milliseconds of the requests that got a result in this second: for each of Stages the
	// quantiles 0.5, 0.95 and 0.99; NaN if no request passed the stage.
	Latency [len(Stages)][3]float64
}

// Columns names the elements of a row, in order.
func Columns() []string {
	names := []string{"at", "offered", "completed", "cached", "refused", "failed", "unusable", "waiting", "working", "wait", "healthy", "replicas", "workers"}
	for _, stage := range Stages {
		names = append(names, stage+"_p50", stage+"_p95", stage+"_p99")
	}
	return names
}

// appendRow appends the sample as a JSON array of the columns. at is in seconds since 1970; numbers have three significant
// digits or more, and an unknown one is null.
func (s *Sample) appendRow(b []byte) []byte {
	b = strconv.AppendInt(append(b, '['), s.At.Unix(), 10)
	for _, v := range [...]float64{s.Offered, s.Completed, s.Cached, s.Refused, s.Failed, s.Unusable, float64(s.Waiting),
		float64(s.Working), s.Wait, float64(s.Healthy), float64(s.Replicas), float64(s.Workers)} {
		b = appendNumber(append(b, ','), v)
	}
	for _, quantiles := range s.Latency {
		for _, v := range quantiles {
			b = appendNumber(append(b, ','), v)
		}
	}
	return append(b, ']')
}

// appendNumber appends a number in as few characters as a chart needs.
func appendNumber(b []byte, v float64) []byte {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return append(b, "null"...)
	case a >= 100 || v == math.Trunc(v):
		return strconv.AppendFloat(b, math.Round(v), 'f', -1, 64)
	case a >= 10:
		return strconv.AppendFloat(b, math.Round(10*v)/10, 'f', -1, 64)
	case a >= 1:
		return strconv.AppendFloat(b, math.Round(100*v)/100, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, math.Round(1000*v)/1000, 'f', -1, 64)
}
