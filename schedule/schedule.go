// Package schedule describes patterns of load, parses their text form, and turns them into arrival times. The load tester
// replays them and the simulator simulates them; both get the same times for the same seed.
package schedule

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schedule is a pattern of load. It is a value: copying and sharing it is safe.
type Schedule struct {
	// Name is the text form, as the user wrote it.
	Name string
	// Rates are the expected requests per second, each for the duration Step.
	Rates []float64
	// Step is the duration of each rate. Zero means a second.
	Step time.Duration
	// Poisson draws the times between requests from an exponential distribution. Otherwise they are evenly spaced.
	Poisson bool
}

// Prototype is the schedule of the prototype's load tester, of 56 seconds.
var Prototype = Schedule{Name: "prototype", Rates: []float64{
	4, 8, 11, 15, 19, 22, 26, 30, 30, 30, 30, 30, 30, 30, 10, 2, 2, 2, 2, 2, 30, 30, 30, 30, 27, 2, 2, 2,
	2, 2, 30, 30, 30, 30, 30, 30, 1, 2, 2, 2, 2, 2, 30, 30, 30, 30, 30, 27, 30, 26, 23, 19, 16, 12, 9, 5,
}}

// maxSteps limits a schedule to a week of seconds.
const maxSteps = 7 * 24 * 3600

func (s Schedule) step() time.Duration { return cmp.Or(s.Step, time.Second) }

// Duration is the duration of the schedule.
func (s Schedule) Duration() time.Duration { return time.Duration(len(s.Rates)) * s.step() }

// Expected is the expected number of requests.
func (s Schedule) Expected() float64 {
	sum := 0.0
	for _, r := range s.Rates {
		sum += r
	}
	return sum * s.step().Seconds()
}

// At is the rate at a time since the start, in requests per second.
func (s Schedule) At(t time.Duration) float64 {
	if i := int(t / s.step()); t >= 0 && i < len(s.Rates) {
		return s.Rates[i]
	}
	return 0
}

// PerSecond lists the expected number of requests in each second, as in the prototype's log.
func (s Schedule) PerSecond() []int {
	counts := make([]int, int((s.Duration()+time.Second-1)/time.Second))
	total, counted := 0.0, 0
	for i := range counts {
		for t := time.Duration(i) * time.Second; t < time.Duration(i+1)*time.Second && t < s.Duration(); t += min(s.step(), time.Second) {
			total += s.At(t) * min(s.step(), time.Second).Seconds()
		}
		counts[i] = int(math.Round(total)) - counted
		counted += counts[i]
	}
	return counts
}

// Arrivals yields the times since the start at which requests are due, in ascending order. Time is scaled by the rate:
// the n-th request is due when the integral of the rate reaches the n-th event of a process of rate one. These are the
// whole numbers, or a Poisson process (Cinlar, "Introduction to Stochastic Processes", 1975, section 4.7).
func (s Schedule) Arrivals(seed uint64) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		r := rand.New(rand.NewPCG(seed, 0x5eed))
		gap := func() float64 {
			if s.Poisson {
				return r.ExpFloat64()
			}
			return 1
		}
		seconds := s.step().Seconds()
		next, done := 0.0, 0.0 // next event, and integral up to the start of this step
		if s.Poisson {
			next = gap()
		}
		// Sums of rates such as 0.1 differ slightly from whole numbers. This must not move a request to the next step.
		const tolerance = 1e-9
		for i, rate := range s.Rates {
			for next < done+rate*seconds-tolerance {
				at := (float64(i) + max(0, next-done)/(rate*seconds)) * seconds
				if !yield(time.Duration(at * float64(time.Second))) {
					return
				}
				next += gap()
			}
			done += rate * seconds
		}
	}
}

// Usage describes the syntax of Parse.
const Usage = `a list of images per second ("4,8,11"), "prototype", a CSV file of rates ("FILE.csv"), or
PATTERN:ARGUMENTS: constant:RATE:DURATION, ramp:FROM:TO:DURATION, step:LOW:HIGH:DURATION (high in the middle third),
spikes:BASE:PEAK:EVERY:WIDTH:DURATION, sine:MEAN:AMPLITUDE:PERIOD:DURATION, mmpp:LOW:HIGH:MEANDWELL:DURATION:SEED,
twitter:MEAN:DURATION:SEED. "poisson:" before any of them draws random times between requests;
poisson:RATE:DURATION is short for poisson:constant:RATE:DURATION`

// Parse parses the text form of a schedule; Usage describes its syntax.
func Parse(text string) (Schedule, error) {
	s, err := parse(text)
	if err == nil {
		err = s.validate()
	}
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %.200q: %w", text, err)
	}
	s.Name = text
	return s, nil
}

func parse(text string) (Schedule, error) {
	if text == "prototype" {
		return Prototype, nil
	}
	if rest, ok := strings.CutPrefix(text, "poisson:"); ok {
		if _, err := strconv.ParseFloat(strings.SplitN(rest, ":", 2)[0], 64); err == nil {
			rest = "constant:" + rest
		}
		s, err := parse(rest)
		s.Poisson = true
		return s, err
	}
	if name, rest, ok := strings.Cut(text, ":"); ok && patterns[name].make != nil {
		return patterns[name].parse(rest)
	}
	if strings.EqualFold(filepath.Ext(text), ".csv") {
		return openCSV(text)
	}
	return parseList(text)
}

func parseList(text string) (Schedule, error) {
	var s Schedule
	for field := range strings.SplitSeq(strings.Trim(strings.TrimSpace(text), "[]"), ",") {
		rate, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil {
			return s, notAList(text, field)
		}
		s.Rates = append(s.Rates, rate)
	}
	return s, nil
}

// notAList says in one line what a text is not, and by examples what it could be.
func notAList(text, field string) error {
	names := strings.Join(slices.Sorted(maps.Keys(patterns)), ", ")
	if name, _, ok := strings.Cut(text, ":"); ok {
		return fmt.Errorf("unknown pattern %.40q; want one of %s, such as constant:40:1m", name, names)
	}
	if p, ok := patterns[text]; ok {
		return fmt.Errorf("want %s:%s", text, p.arguments)
	}
	return fmt.Errorf("%.40q is not a number; want rates such as 4,8,11, a file such as rates.csv, or a pattern such as constant:40:1m", field)
}

func openCSV(path string) (Schedule, error) {
	f, err := os.Open(path)
	if err != nil {
		return Schedule{}, err
	}
	defer f.Close()
	return readCSV(f)
}

// readCSV reads the last field of each line as the rate of a second. A first line without a number is a heading. Fields
// are separated by commas or semicolons and may be quoted. It stops after the maximum number of rates, so that a file of
// another kind does not take much memory.
func readCSV(r io.Reader) (Schedule, error) {
	const byteOrderMark = "\ufeff"
	var s Schedule
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), byteOrderMark))
		if line == "" {
			continue
		}
		field := strings.Trim(line[strings.LastIndexAny(line, ",;")+1:], " \t\"")
		rate, err := strconv.ParseFloat(field, 64)
		switch {
		case err == nil && len(s.Rates) > maxSteps:
			return s, s.validate()
		case err == nil:
			s.Rates = append(s.Rates, rate)
		case number > 1:
			return s, fmt.Errorf("line %d: %.40q is not a rate; want images per second in the last column, a line for each second", number, field)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return s, errors.New("a line is longer than 64 KiB: is it a CSV file? Want images per second in the last column, a line for each second")
	}
	return s, lines.Err()
}

func (s Schedule) validate() error {
	if len(s.Rates) == 0 {
		return errors.New("is empty")
	}
	if len(s.Rates) > maxSteps {
		return fmt.Errorf("has %d steps, want at most %d", len(s.Rates), maxSteps)
	}
	for i, r := range s.Rates {
		if !(r >= 0 && r <= 1e6) {
			return fmt.Errorf("rate %v at step %d: want 0 to 1000000 requests per second", r, i+1)
		}
	}
	if s.Expected() == 0 {
		return errors.New("sends nothing: all rates are 0")
	}
	return nil
}
