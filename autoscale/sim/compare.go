package sim

import (
	"context"
	"math"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// Experiment is every contestant on every trace with every seed.
type Experiment struct {
	Traces      []Trace
	Contestants []Contestant
	Seeds       int    // at least 1
	Base        Config // for all runs; Load, Policy, Seed and what a trace brings are set
}

// Outcome has the results, in the order of the experiment: [trace][contestant][seed].
type Outcome struct {
	Experiment
	Results [][][]Result
	Images  int // simulated, of all runs
	Took    time.Duration
}

// Run runs the experiment on all CPUs, and calls progress with the number of completed runs.
func (e Experiment) Run(ctx context.Context, progress func(done, total int)) (Outcome, error) {
	began := time.Now()
	out := Outcome{Experiment: e, Results: make([][][]Result, len(e.Traces))}
	done := make(chan struct{}, 16)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	counted := make(chan struct{})
	total := len(e.Traces) * len(e.Contestants) * e.Seeds
	go func() {
		defer close(counted)
		n := 0
		for range done {
			n++
			progress(n, total)
		}
	}()
	for t := range e.Traces {
		out.Results[t] = make([][]Result, len(e.Contestants))
		for c := range e.Contestants {
			out.Results[t][c] = make([]Result, e.Seeds)
			for seed := range e.Seeds {
				g.Go(func() error {
					if err := ctx.Err(); err != nil {
						return err
					}
					out.Results[t][c][seed] = e.one(t, c, seed)
					done <- struct{}{}
					return nil
				})
			}
		}
	}
	err := g.Wait()
	close(done)
	<-counted
	for _, perTrace := range out.Results {
		for _, runs := range perTrace {
			for _, r := range runs {
				out.Images += r.Offered
			}
		}
	}
	out.Took = time.Since(began)
	return out, err
}

// one does one run.
func (e Experiment) one(t, c, seed int) Result {
	cfg, trace := e.Base, e.Traces[t]
	cfg.Load, cfg.Slowdown = trace.Load, trace.Slowdown
	cfg.Load.Poisson = true
	cfg.BlindFrom, cfg.BlindFor = trace.BlindFrom, trace.BlindFor
	cfg.Seed = uint64(1000 + seed)
	cfg = cfg.withDefaults()
	cfg.Policy = e.Contestants[c].Make(cfg)
	r := Run(cfg)
	if seed > 0 {
		r.Timeline = nil // charts show the first seed
	}
	return r
}

// Estimate is a mean over seeds with half the width of its 95 % confidence interval.
type Estimate struct{ Mean, Plus float64 }

// student has the 97.5 % quantiles of Student's distribution with 1, 2, ... degrees of freedom.
var student = [...]float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093}

// estimate computes an Estimate from one value per seed.
func estimate(values []float64) Estimate {
	n := float64(len(values))
	sum, squares := 0.0, 0.0
	for _, v := range values {
		sum += v
	}
	mean := sum / n
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	if n < 2 {
		return Estimate{mean, math.Inf(1)}
	}
	t := student[min(len(student), len(values)-1)-1]
	return Estimate{mean, t * math.Sqrt(squares/(n-1)/n)}
}

// Over estimates the mean over traces of a figure of one contestant.
func (o Outcome) Over(contestant int, figure func(Result) float64) Estimate {
	values := make([]float64, o.Seeds)
	for _, perTrace := range o.Results {
		for seed, r := range perTrace[contestant] {
			values[seed] += figure(r) / float64(len(o.Results))
		}
	}
	return estimate(values)
}

// On estimates a figure of one contestant on one trace.
func (o Outcome) On(trace, contestant int, figure func(Result) float64) Estimate {
	values := make([]float64, o.Seeds)
	for seed, r := range o.Results[trace][contestant] {
		values[seed] = figure(r)
	}
	return estimate(values)
}

// Ratio estimates the figure of one contestant over that of another, as means over traces and paired by seed: both
// had the same arrivals and service times.
func (o Outcome) Ratio(a, b int, figure func(Result) float64) Estimate {
	values := make([]float64, o.Seeds)
	for seed := range values {
		up, down := 0.0, 0.0
		for _, perTrace := range o.Results {
			up += figure(perTrace[a][seed])
			down += figure(perTrace[b][seed])
		}
		values[seed] = up / down
	}
	return estimate(values)
}
