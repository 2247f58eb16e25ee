package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// Search looks for the highest rate at which conditions hold. It tries rates one after the other, with random
// (Poisson) arrivals as independent users make them: twice as much as long as they hold, then between what
// held and what did not, which is what failed twice or was clearly too much; at last it tries the rate it found
// once more, for twice the time, so that what it reports has held twice.
type Search struct {
	// Config is for each trial; its Schedule is not used.
	Config
	// SLO is what must hold.
	SLO []Condition
	// From is the first rate, in requests per second. Zero means 10.
	From float64
	// Most is the highest rate to try. Zero means 10,000.
	Most float64
	// Duration is how long a trial takes. Zero means 20 s. It takes up to five times as long where the conditions'
	// percentiles need more requests.
	Duration time.Duration
	// Precision is how close what held must be to what did not, as a share. Zero means 0.05.
	Precision float64
	// Trying is called before each trial. May be nil.
	Trying func(rate float64, duration time.Duration)
	// Tried is called after each trial. May be nil.
	Tried func(Trial)
}

// Trial is a run at one rate.
type Trial struct {
	Rate     float64
	Verdicts []Verdict
	Holds    bool
	Summary  *Summary
}

// Found is what a search came to.
type Found struct {
	Rate   float64 // the highest that held; 0 when none did
	Trials []Trial
	// Open: all rates up to Most held.
	Open bool
}

// least is the rate below which a search gives up.
const least = 0.05

// ErrNoRate is what Search.Run returns when the conditions do not hold at the lowest rate.
var ErrNoRate = errors.New("the conditions hold at no rate")

// Run searches. When ctx ends it returns what it found until then, with ctx's error.
func (s Search) Run(ctx context.Context) (*Found, error) {
	s = s.withDefaults()
	found := &Found{}
	holding, broken := 0.0, math.Inf(1)
	for rate := s.From; !math.IsInf(broken, 1) && holding > 0 || rate >= least && rate <= s.Most; {
		holds, err := s.tryAgain(ctx, found, rate)
		if err != nil {
			return found, err
		}
		if holds {
			holding, found.Rate = rate, rate
		} else {
			broken = rate
		}
		switch {
		case math.IsInf(broken, 1):
			if rate == s.Most {
				found.Open = true
				return found, nil
			}
			rate = min(2*rate, s.Most)
		case holding == 0:
			rate /= 2
		case broken/holding <= 1+s.Precision:
			return found, s.confirm(ctx, found)
		default:
			rate = math.Sqrt(holding * broken)
		}
	}
	return found, ErrNoRate
}

func (s Search) withDefaults() Search {
	if s.From == 0 {
		s.From = 10
	}
	if s.Most == 0 {
		s.Most = 10_000
	}
	if s.Duration == 0 {
		s.Duration = 20 * time.Second
	}
	if s.Precision == 0 {
		s.Precision = 0.05
	}
	s.From = min(s.From, s.Most)
	return s
}

// confirm tries what was found again, and less where it does not hold.
func (s Search) confirm(ctx context.Context, found *Found) error {
	for rate := found.Rate; rate >= least; rate /= 1 + s.Precision {
		found.Rate = 0
		holds, err := s.try(ctx, found, rate, 2*s.Duration)
		if err != nil {
			return err
		}
		if holds {
			found.Rate = rate
			return nil
		}
	}
	return ErrNoRate
}

// overloaded is the share of the requests due below which the answers show that a rate is too high, and not
// that something else disturbed the trial.
const overloaded = 0.75

// tryAgain gives a rate up when it did not hold twice, or when it was clearly too much: a machine that was busy
// with something else for a moment must not end a search far too low.
func (s Search) tryAgain(ctx context.Context, found *Found, rate float64) (bool, error) {
	holds, err := s.try(ctx, found, rate, s.Duration)
	if holds || err != nil || found.Trials[len(found.Trials)-1].Summary.Rate() < overloaded*rate {
		return holds, err
	}
	return s.try(ctx, found, rate, s.Duration)
}

func (s Search) try(ctx context.Context, found *Found, rate float64, duration time.Duration) (bool, error) {
	for _, c := range s.SLO {
		need := time.Duration(float64(c.Requests()) / rate * float64(time.Second))
		duration = max(duration, min(need, 5*s.Duration))
	}
	duration = duration.Round(time.Second)
	if s.Trying != nil {
		s.Trying(rate, duration)
	}
	config := s.Config
	config.Schedule = schedule.Constant(rate, duration)
	config.Schedule.Poisson = true
	config.Schedule.Name = fmt.Sprintf("poisson:%.4g:%s", rate, duration)
	config.Seed += uint64(len(found.Trials)) // other images and times: a server may have learnt the last ones
	summary, err := Run(ctx, config)
	if err != nil {
		return false, err
	}
	trial := Trial{Rate: rate, Holds: true, Summary: summary}
	for _, c := range s.SLO {
		v := c.Check(summary)
		trial.Verdicts = append(trial.Verdicts, v)
		trial.Holds = trial.Holds && v.Holds
	}
	found.Trials = append(found.Trials, trial)
	if s.Tried != nil {
		s.Tried(trial)
	}
	return trial.Holds, nil
}

// Capacity is the most answers per second that the server gave over ten seconds of any trial (over the whole of
// shorter ones): beyond the rate that was found, what it can do when users wait.
func (f *Found) Capacity() float64 {
	const window = 10
	most := 0.0
	for _, t := range f.Trials {
		n, sum := min(window, max(1, int(t.Summary.Elapsed/time.Second))), 0
		for i := range t.Summary.Timeline {
			sum += t.Summary.Timeline[i].Answered
			if i >= n {
				sum -= t.Summary.Timeline[i-n].Answered
			}
			most = max(most, float64(sum)/float64(n))
		}
	}
	return most
}
