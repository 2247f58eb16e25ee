// Package slo holds service level objectives: conditions such as "p99<500ms" that the result of a load test is checked
// against.
package slo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load/result"
)

// Condition is a limit on one figure of a result, such as "p99<500ms". Use Parse to make one.
type Condition struct {
	text    string
	measure func(*result.Summary) float64
	compare func(got, limit float64) bool
	limit   float64
	show    func(float64) string
	span    string  // of a latency; empty for others
	figure  string  // of a latency: p99, mean or max; otherwise errors, rate, ...
	percent float64 // of a percentile; 0 for others
}

// Usage describes the syntax of Parse.
const Usage = `WHAT<LIMIT or WHAT>LIMIT (also <= and >=), where WHAT is p50, p99.9 ..., mean or max of the latency from
the intended time to the result (percentiles count a failed request as one that never ends; mean and max count successful
requests only), the same of one span (computed.p99, submit.p99, queue.mean, inference.p50, poll-lag.max, send-lag.p99), errors,
wrong, late or cached (percent of requests), or rate (answers per second)`

// Parse parses a condition; Usage describes its syntax.
func Parse(text string) (Condition, error) {
	c, err := parse(text)
	if err != nil {
		return Condition{}, fmt.Errorf("condition %.200q: %w; want one such as p99<500ms, errors<1%% or rate>30", text, err)
	}
	return c, nil
}

func parse(text string) (Condition, error) {
	i := strings.IndexAny(text, "<>")
	if i < 0 {
		return Condition{}, errors.New("it contains neither < nor >")
	}
	what, limit := strings.TrimSpace(text[:i]), text[i+1:]
	operator := text[i : i+1]
	if rest, ok := strings.CutPrefix(limit, "="); ok {
		operator, limit = operator+"=", rest
	}
	limit = strings.TrimSpace(limit)
	c := Condition{text: what + operator + limit, compare: comparisons[operator]}
	if err := c.parseWhat(what); err != nil {
		return c, err
	}
	var err error
	if c.limit, err = c.parseLimit(what, limit); err != nil {
		return c, err
	}
	return c, nil
}

var comparisons = map[string]func(got, limit float64) bool{
	"<":  func(got, limit float64) bool { return got < limit },
	"<=": func(got, limit float64) bool { return got <= limit },
	">":  func(got, limit float64) bool { return got > limit },
	">=": func(got, limit float64) bool { return got >= limit },
}

// shares are figures in percent of all requests.
var shares = map[string]func(*result.Summary) int{
	"errors": func(s *result.Summary) int { return s.Sent - s.OK },
	"wrong":  func(s *result.Summary) int { return s.Errors[result.WrongLabel] },
	"late":   func(s *result.Summary) int { return s.Late },
	"cached": func(s *result.Summary) int { return s.Cached },
}

func (c *Condition) parseWhat(what string) error {
	c.figure = what
	if count := shares[what]; count != nil {
		c.measure = func(s *result.Summary) float64 { return 100 * float64(count(s)) / float64(max(s.Sent, 1)) }
		c.show = func(v float64) string { return fmt.Sprintf("%.3g%%", v) }
		return nil
	}
	if what == "rate" {
		c.measure = (*result.Summary).Rate
		c.show = func(v float64) string { return fmt.Sprintf("%.1f/s", v) }
		return nil
	}
	span, of := result.SpanTotal, what
	if before, after, ok := strings.Cut(what, "."); ok && !strings.HasPrefix(before, "p") || ok && strings.HasPrefix(before, "poll") {
		span, of = strings.ReplaceAll(before, "-", " "), after
	}
	if !slices.Contains(result.Spans, span) {
		return fmt.Errorf("unknown span %q", span)
	}
	c.span, c.figure = span, of
	c.show = func(v float64) string {
		if math.IsInf(v, 1) {
			return "never ends"
		}
		return time.Duration(v * float64(time.Second)).Round(10 * time.Microsecond).String()
	}
	switch {
	case of == "mean":
		c.measure = func(s *result.Summary) float64 { return s.Mean(span).Seconds() }
	case of == "max":
		c.measure = func(s *result.Summary) float64 { return s.Max(span).Seconds() }
	case strings.HasPrefix(of, "p"):
		percent, err := strconv.ParseFloat(of[1:], 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return fmt.Errorf("invalid percentile %q", of)
		}
		c.percent = percent
		c.measure = func(s *result.Summary) float64 { return s.Percentile(span, percent).Seconds() }
		if span == result.SpanTotal {
			c.measure = func(s *result.Summary) float64 { return finite(s.PercentileAll(percent)) }
		}
	default:
		return fmt.Errorf("unknown figure %q: want pNN, mean, max, errors, wrong, late or rate", of)
	}
	return nil
}

func finite(d time.Duration) float64 {
	if d == result.Never {
		return math.Inf(1)
	}
	return d.Seconds()
}

// parseLimit parses a percentage, a rate or a duration, depending on the figure.
func (c *Condition) parseLimit(what, limit string) (float64, error) {
	number := limit
	switch {
	case shares[what] != nil:
		number = strings.TrimSuffix(number, "%")
	case what == "rate":
		number = strings.TrimSuffix(number, "/s")
	default:
		d, err := time.ParseDuration(limit)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("invalid duration %q: want one such as 500ms", limit)
		}
		return d.Seconds(), nil
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(v >= 0 && v <= 1e9) {
		return 0, fmt.Errorf("invalid number %q: want 0 or more", limit)
	}
	return v, nil
}

// String returns the condition as it was written, without spaces.
func (c Condition) String() string { return c.text }

// Verdict is the outcome of checking a condition.
type Verdict struct {
	Condition Condition
	Got       string // the figure, formatted
	Holds     bool
	// Unsure means that too few requests lie beyond the percentile to rely on it.
	Unsure bool
}

// Check checks a result. If nothing was sent, no condition holds, and none on a span that was not measured.
func (c Condition) Check(s *result.Summary) Verdict {
	n := s.Sent
	if failuresCount := c.span == result.SpanTotal && c.percent > 0; c.span != "" && !failuresCount {
		if n = s.Count(c.span); n == 0 {
			return Verdict{Condition: c, Got: "nothing measured"}
		}
	}
	got := c.measure(s)
	return Verdict{c, c.show(got), s.Sent > 0 && c.compare(got, c.limit), c.percent > 0 && !result.EnoughSamples(n, c.percent)}
}

// String describes whether the condition holds, and the figure.
func (v Verdict) String() string {
	word, doubt := "holds ", ""
	if !v.Holds {
		word = "BROKEN"
	}
	if v.Unsure {
		doubt = " (unreliable: fewer than ten requests lie beyond it)"
	}
	return fmt.Sprintf("%s  %s: %s%s", word, v.Condition, v.Got, doubt)
}

// Requests is the number of requests that a run needs to determine the condition's percentile; 1 for other conditions.
func (c Condition) Requests() int {
	if c.percent <= 0 || c.percent >= 100 {
		return 1
	}
	return int(math.Ceil(10/(1-c.percent/100) - 1e-6))
}

// Latency is a limit on a figure of the latency.
type Latency struct {
	Span    string  // one of result.Spans
	Figure  string  // p99, mean or max
	Percent float64 // of a percentile; 0 for others
	Limit   time.Duration
}

// Latency returns the limit of a condition on a latency. It is not ok for other conditions.
func (c Condition) Latency() (l Latency, ok bool) {
	if c.span == "" {
		return Latency{}, false
	}
	return Latency{c.span, c.figure, c.percent, time.Duration(math.Round(c.limit * float64(time.Second)))}, true
}

// RateLimit returns the limit of a condition on the rate, in answers per second. It is not ok for other conditions.
func (c Condition) RateLimit() (perSecond float64, ok bool) { return c.limit, c.figure == "rate" }

// TailLimit returns the limit of a condition on a percentile of the total latency, and the share of requests that may
// take longer. It is not ok for other conditions.
func (c Condition) TailLimit() (limit time.Duration, share float64, ok bool) {
	if c.span != result.SpanTotal || c.percent <= 0 || c.percent >= 100 {
		return 0, 0, false
	}
	return time.Duration(c.limit * float64(time.Second)), 1 - c.percent/100, true
}
