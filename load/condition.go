package load

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Condition is something that a result shall hold, such as "p99<500ms". Its zero value is none; use
// ParseCondition.
type Condition struct {
	text    string
	measure func(*Summary) float64
	compare func(got, limit float64) bool
	limit   float64
	show    func(float64) string
	percent float64 // of a percentile; 0 for others
}

// ConditionUsage explains ParseCondition to people.
const ConditionUsage = `WHAT<LIMIT or WHAT>LIMIT (also <= and >=), where WHAT is p50, p99.9 ..., mean or max of the time from intended
sending to answer (percentiles count a failed request as one that never ends; mean and max count answers only), the same of
one span (submit.p99, queue.mean, inference.p50, poll-lag.max, send-lag.p99), errors, wrong or late (percent of requests),
or rate (answers per second)`

// ParseCondition reads a condition; ConditionUsage says how it is written.
func ParseCondition(text string) (Condition, error) {
	c, err := parseCondition(text)
	if err != nil {
		return Condition{}, fmt.Errorf("condition %q: %w; want %s", text, err, ConditionUsage)
	}
	return c, nil
}

func parseCondition(text string) (Condition, error) {
	i := strings.IndexAny(text, "<>")
	if i < 0 {
		return Condition{}, fmt.Errorf("neither < nor > in it")
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

// shares are measured in percent of all requests.
var shares = map[string]func(*Summary) int{
	"errors": func(s *Summary) int { return s.Sent - s.OK },
	"wrong":  func(s *Summary) int { return s.Errors[wrongLabel] },
	"late":   func(s *Summary) int { return s.Late },
}

func (c *Condition) parseWhat(what string) error {
	if count := shares[what]; count != nil {
		c.measure = func(s *Summary) float64 { return 100 * float64(count(s)) / float64(max(s.Sent, 1)) }
		c.show = func(v float64) string { return fmt.Sprintf("%.3g%%", v) }
		return nil
	}
	if what == "rate" {
		c.measure = (*Summary).Rate
		c.show = func(v float64) string { return fmt.Sprintf("%.1f/s", v) }
		return nil
	}
	span, of := SpanTotal, what
	if before, after, ok := strings.Cut(what, "."); ok && !strings.HasPrefix(before, "p") || ok && strings.HasPrefix(before, "poll") {
		span, of = strings.ReplaceAll(before, "-", " "), after
	}
	if !slices.Contains(Spans, span) {
		return fmt.Errorf("%q is no span", span)
	}
	c.show = func(v float64) string {
		if math.IsInf(v, 1) {
			return "never ends"
		}
		return time.Duration(v * float64(time.Second)).Round(10 * time.Microsecond).String()
	}
	switch {
	case of == "mean":
		c.measure = func(s *Summary) float64 { return s.Mean(span).Seconds() }
	case of == "max":
		c.measure = func(s *Summary) float64 { return s.Max(span).Seconds() }
	case strings.HasPrefix(of, "p"):
		percent, err := strconv.ParseFloat(of[1:], 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return fmt.Errorf("%q is no percentile", of)
		}
		c.percent = percent
		c.measure = func(s *Summary) float64 { return s.Percentile(span, percent).Seconds() }
		if span == SpanTotal {
			c.measure = func(s *Summary) float64 { return finite(s.Felt(percent)) }
		}
	default:
		return fmt.Errorf("%q is none of pNN, mean, max, errors, wrong, late, rate", of)
	}
	return nil
}

func finite(d time.Duration) float64 {
	if d == Never {
		return math.Inf(1)
	}
	return d.Seconds()
}

// parseLimit reads a share of requests, a rate, or a duration, depending on what is limited.
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
			return 0, fmt.Errorf("%q is no duration such as 500ms", limit)
		}
		return d.Seconds(), nil
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(v >= 0 && v <= 1e9) {
		return 0, fmt.Errorf("%q is no number that is not negative", limit)
	}
	return v, nil
}

// String is the condition as it was written, without spaces.
func (c Condition) String() string { return c.text }

// Verdict is what became of a condition.
type Verdict struct {
	Condition Condition
	Got       string // as people read it
	Holds     bool
	// Unsure: too few requests lie beyond the percentile to rely on it.
	Unsure bool
}

// Check compares a result with the condition. A run in which nothing was sent holds none.
func (c Condition) Check(s *Summary) Verdict {
	got := c.measure(s)
	return Verdict{c, c.show(got), s.Sent > 0 && c.compare(got, c.limit), c.percent > 0 && !Enough(s.Sent, c.percent)}
}

// String is for people: whether it holds, and what was found.
func (v Verdict) String() string {
	word, doubt := "holds ", ""
	if !v.Holds {
		word = "BROKEN"
	}
	if v.Unsure {
		doubt = " (of few requests: fewer than ten lie beyond it)"
	}
	return fmt.Sprintf("%s  %s: %s%s", word, v.Condition, cmp.Or(v.Got, "nothing"), doubt)
}

// Requests is how many requests a run needs for the condition's percentile to mean something; 1 for
// conditions without one.
func (c Condition) Requests() int {
	if c.percent <= 0 || c.percent >= 100 {
		return 1
	}
	return int(math.Ceil(10/(1-c.percent/100) - 1e-6))
}
