// Package search finds the highest rate at which a server meets its service level objective. Run starts load tests at
// one rate after the other and returns a Result, which also holds what a capacity plan needs.
package search

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// Config configures a search. Load and SLO are required.
type Config struct {
	// Load configures each trial. Its Schedule is not used.
	Load load.Config
	// SLO holds the conditions that must hold.
	SLO []slo.Condition
	// From is the first rate, in requests per second. Zero means 10.
	From float64
	// Max is the highest rate. Zero means 10,000.
	Max float64
	// Duration is the duration of a trial. Zero means 20 s. A trial takes up to five times as long if the percentiles
	// of the conditions need more requests.
	Duration time.Duration
	// Precision is the maximum relative distance between the rate that holds and the next higher one that does not.
	// Zero means 0.05.
	Precision float64
	// TrialStarted is called before each trial. May be nil.
	TrialStarted func(rate float64, duration time.Duration)
	// TrialEnded is called after each trial. May be nil.
	TrialEnded func(Trial)
}

// Trial is a run at one rate.
type Trial struct {
	Rate     float64
	Verdicts []slo.Verdict
	Holds    bool
	Summary  *result.Summary
}

// Result is the result of a search.
type Result struct {
	Rate   float64 // the highest rate that holds; 0 if none does
	Trials []Trial
	// Open means that the conditions hold at all rates up to the maximum.
	Open bool
}

// minRate is the rate below which a search gives up.
const minRate = 0.05

// ErrNoRate means that the conditions do not hold at the lowest rate.
var ErrNoRate = errors.New("the conditions hold at no rate")

// Run searches. Requests arrive at random (Poisson) times, as those of independent users do. The rate doubles as long as
// the conditions hold; then Run bisects between the highest rate that holds and the lowest that does not. A rate does
// not hold if it fails twice, or once with a clear overload. At the end Run tries the highest rate again, for twice the
// time. When ctx ends, it returns the result so far with ctx's error.
func Run(ctx context.Context, c Config) (*Result, error) {
	c.From, c.Max = cmp.Or(c.From, 10), cmp.Or(c.Max, 10_000)
	c.Duration, c.Precision = cmp.Or(c.Duration, 20*time.Second), cmp.Or(c.Precision, 0.05)
	c.From = min(c.From, c.Max)
	s := searcher{c, &Result{}}
	return s.result, s.search(ctx)
}

type searcher struct {
	Config
	result *Result
}

func (s searcher) search(ctx context.Context) error {
	holding, broken := 0.0, math.Inf(1)
	for rate := s.From; !math.IsInf(broken, 1) && holding > 0 || rate >= minRate && rate <= s.Max; {
		holds, err := s.tryTwice(ctx, rate)
		if err != nil {
			return err
		}
		if holds {
			holding, s.result.Rate = rate, rate
		} else {
			broken = rate
		}
		switch {
		case math.IsInf(broken, 1):
			if rate == s.Max {
				s.result.Open = true
				return nil
			}
			rate = min(2*rate, s.Max)
		case holding == 0:
			rate /= 2
		case broken/holding <= 1+s.Precision:
			return s.confirm(ctx)
		default:
			rate = math.Sqrt(holding * broken)
		}
	}
	return ErrNoRate
}

// confirm tries the highest rate again, and lower ones if it does not hold.
func (s searcher) confirm(ctx context.Context) error {
	for rate := s.result.Rate; rate >= minRate; rate /= 1 + s.Precision {
		s.result.Rate = 0
		holds, err := s.try(ctx, rate, 2*s.Duration)
		if err != nil {
			return err
		}
		if holds {
			s.result.Rate = rate
			return nil
		}
	}
	return ErrNoRate
}

// overloaded is the share of the offered rate below which the rate of answers proves an overload. Above it, another
// load on the machine may have disturbed the trial.
const overloaded = 0.75

// tryTwice tries a rate, and once more if it does not hold without a clear overload: a short disturbance must not end
// the search at a rate that is far too low.
func (s searcher) tryTwice(ctx context.Context, rate float64) (bool, error) {
	holds, err := s.try(ctx, rate, s.Duration)
	if holds || err != nil || s.result.Trials[len(s.result.Trials)-1].Summary.Rate() < overloaded*rate {
		return holds, err
	}
	return s.try(ctx, rate, s.Duration)
}

func (s searcher) try(ctx context.Context, rate float64, duration time.Duration) (bool, error) {
	for _, c := range s.SLO {
		need := time.Duration(float64(c.Requests()) / rate * float64(time.Second))
		duration = max(duration, min(need, 5*s.Duration))
	}
	duration = duration.Round(time.Second)
	if s.TrialStarted != nil {
		s.TrialStarted(rate, duration)
	}
	config := s.Load
	config.Schedule = schedule.Constant(rate, duration)
	config.Schedule.Poisson = true
	config.Schedule.Name = fmt.Sprintf("poisson:%.4g:%s", rate, duration)
	config.Seed += uint64(len(s.result.Trials)) // other images and times: a server may have cached the last ones
	summary, err := load.Run(ctx, config)
	if err != nil {
		return false, err
	}
	trial := Trial{Rate: rate, Holds: true, Summary: summary}
	for _, c := range s.SLO {
		v := c.Check(summary)
		trial.Verdicts = append(trial.Verdicts, v)
		trial.Holds = trial.Holds && v.Holds
	}
	s.result.Trials = append(s.result.Trials, trial)
	if s.TrialEnded != nil {
		s.TrialEnded(trial)
	}
	return trial.Holds, nil
}

// best returns the last trial at the rate that holds; nil if there is none.
func (r *Result) best() *Trial {
	for i := len(r.Trials) - 1; i >= 0; i-- {
		if t := &r.Trials[i]; t.Holds && t.Rate == r.Rate {
			return t
		}
	}
	return nil
}

// Best returns the summary of the last trial at the rate that holds; of the last trial if none does; nil without trials.
func (r *Result) Best() *result.Summary {
	if t := r.best(); t != nil {
		return t.Summary
	}
	if n := len(r.Trials); n > 0 {
		return r.Trials[n-1].Summary
	}
	return nil
}
