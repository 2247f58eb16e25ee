package autoscale

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TimeWindow sets limits at some times of the week.
type TimeWindow struct {
	Days     [7]bool       // by time.Weekday: on which it begins
	From, To time.Duration // since midnight; with To not after From it ends on the next day
	Limits   Limits
}

// ParseTimeWindow reads a window such as "mon-fri 08:00-18:00 4:20" or "22:00-06:00 1:5": days, which may be left out, the
// time of day, and the minimum and maximum number of replicas.
func ParseTimeWindow(text string) (TimeWindow, error) {
	w, err := parseTimeWindow(text)
	if err != nil {
		return TimeWindow{}, fmt.Errorf("time window %.60q: %w; want days, times and replicas such as mon-fri 08:00-18:00 4:20", text, err)
	}
	return w, nil
}

func parseTimeWindow(text string) (TimeWindow, error) {
	w := TimeWindow{Days: [7]bool{true, true, true, true, true, true, true}}
	fields := strings.Fields(strings.ToLower(text))
	if len(fields) == 3 {
		days, err := parseDays(fields[0])
		if err != nil {
			return w, err
		}
		w.Days, fields = days, fields[1:]
	}
	if len(fields) != 2 {
		return w, errors.New("it has not two or three parts")
	}
	from, to, _ := strings.Cut(fields[0], "-")
	var err error
	if w.From, err = parseClock(from); err != nil {
		return w, err
	}
	if w.To, err = parseClock(to); err != nil {
		return w, err
	}
	w.Limits, err = ParseLimits(fields[1])
	return w, err
}

// parseDays reads days such as "mon-fri" or "sat,sun".
func parseDays(text string) (days [7]bool, err error) {
	number := func(name string) int {
		for d := time.Sunday; d <= time.Saturday; d++ {
			if strings.ToLower(d.String()[:3]) == name {
				return int(d)
			}
		}
		return -1
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := number(first), number(last)
		if from < 0 || to < 0 {
			return days, fmt.Errorf("%.20q is not a day or a range of days", part)
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

// parseClock reads a time of day such as "08:30" or "24:00".
func parseClock(text string) (time.Duration, error) {
	hours, minutes, ok := strings.Cut(text, ":")
	h, err1 := strconv.Atoi(hours)
	m, err2 := strconv.Atoi(minutes)
	if !ok || err1 != nil || err2 != nil || h < 0 || m < 0 || m > 59 || h*60+m > 24*60 {
		return 0, fmt.Errorf("%.20q is not a time of day", text)
	}
	return time.Duration(h*60+m) * time.Minute, nil
}

// ParseLimits reads a minimum and a maximum such as "1:4". A minimum of 0 becomes ToZero.
func ParseLimits(text string) (Limits, error) {
	low, high, ok := strings.Cut(text, ":")
	least, err1 := strconv.Atoi(low)
	most, err2 := strconv.Atoi(high)
	if !ok || err1 != nil || err2 != nil || least < 0 || most < 1 {
		return Limits{}, fmt.Errorf("%.20q is not a minimum and a maximum of replicas", text)
	}
	l := Limits{Min: least, Max: most}
	if least == 0 {
		l.Min = ToZero
	}
	return l, l.Validate()
}

// Contains reports whether a time lies in the window. The time of day is that of the time's location.
//
// Worked example: the window "fri 22:00-06:00" contains Friday 23:00 and Saturday 05:59, but not Friday 05:00, which
// would have begun on Thursday, nor Saturday 06:00.
func (w TimeWindow) Contains(t time.Time) bool {
	clock := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	today, before := w.Days[t.Weekday()], w.Days[(t.Weekday()+6)%7]
	if w.To > w.From {
		return today && clock >= w.From && clock < w.To
	}
	return today && clock >= w.From || before && clock < w.To
}

// Scheduled is a policy whose limits depend on the time of the week: those of the first window that contains it, and
// otherwise the usual ones. The policy must have the widest of all: see [WidestLimits].
type Scheduled struct {
	Policy
	Usual   Limits
	Windows []TimeWindow
	Zone    *time.Location // of the windows; nil means the local one
}

var _ Policy = Scheduled{}

// WidestLimits are the limits that a policy must have so that all windows have an effect.
func WidestLimits(usual Limits, windows []TimeWindow) Limits {
	widest := usual.withDefaults()
	for _, w := range windows {
		l := w.Limits.withDefaults()
		widest.Min, widest.Max = min(widest.Min, l.Min), max(widest.Max, l.Max)
	}
	return widest
}

// Decide implements [Policy].
func (p Scheduled) Decide(now time.Time, s Snapshot) Decision {
	d := p.Policy.Decide(now, s)
	zone := p.Zone
	if zone == nil {
		zone = time.Local
	}
	limits, rules := p.Usual.withDefaults(), map[Rule]Rule{}
	for _, w := range p.Windows {
		if w.Contains(now.In(zone)) {
			limits, rules = w.Limits.withDefaults(), map[Rule]Rule{RuleMin: RuleWindow, RuleMax: RuleWindow}
			break
		}
	}
	if n, rule := limits.clamp(d.Replicas); rule != "" {
		d.decide(Reason{Rule: cmp.Or(rules[rule], rule), Replicas: n, Value: float64(d.Replicas)})
	}
	return d
}
