package sim

import (
	"math"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// Trace is a load, with events that affect replicas.
type Trace struct {
	Name, About string
	Load        schedule.Schedule
	Slowdown    func(time.Duration) float64 // see Config
	BlindFrom   time.Duration
	BlindFor    time.Duration
}

// TraceLimits limit the number of replicas in the comparison, as in the prototype's autoscaler.
var TraceLimits = autoscale.Limits{Min: 5, Max: 50}

// Traces are the twelve on which the policies are compared and were tuned. A replica processes 20 images/s.
func Traces() []Trace {
	return []Trace{
		{Name: "constant", About: "300/s", Load: schedule.Constant(300, 20*time.Minute)},
		{Name: "step", About: "120/s, 600/s, 120/s", Load: schedule.Step(120, 600, 20*time.Minute)},
		{Name: "spikes", About: "100/s, every 5 min for 30 s 500/s", Load: schedule.Spikes(100, 500, 5*time.Minute, 30*time.Second, 30*time.Minute)},
		{Name: "sine", About: "100/s to 600/s in 10 min", Load: schedule.Sine(350, 250, 10*time.Minute, 30*time.Minute)},
		{Name: "ramp", About: "80/s to 800/s in 15 min, then back at once", Load: join(schedule.Ramp(80, 800, 15*time.Minute), schedule.Constant(80, 5*time.Minute))},
		{Name: "mmpp", About: "150/s or 450/s, changing every 30 s on average", Load: schedule.MMPP(150, 450, 30*time.Second, 20*time.Minute, 1)},
		{Name: "prototype", About: "the prototype's 56 s, ten times as much, ten times over", Load: join(repeat(scale(schedule.Prototype, 10), 10)...)},
		{Name: "burst", About: "135/s to 690/s within 30 s, 6 min long", Load: join(schedule.Constant(135, 6*time.Minute), schedule.Ramp(135, 690, 30*time.Second),
			schedule.Constant(690, 6*time.Minute), schedule.Ramp(690, 135, time.Minute), schedule.Constant(135, 6*time.Minute))},
		{Name: "twitter-1", About: "like Twitter's stream, mean 200/s", Load: schedule.Twitter(200, 30*time.Minute, 1)},
		{Name: "twitter-2", About: "another", Load: schedule.Twitter(200, 30*time.Minute, 2)},
		{Name: "twitter-3", About: "another", Load: schedule.Twitter(200, 30*time.Minute, 3)},
		{Name: "slowdown", About: "300/s; replicas slow down by 30 % after 10 min", Load: schedule.Constant(300, 20*time.Minute), Slowdown: slowAfter(10 * time.Minute)},
	}
}

// HoldOut are traces that were fixed before any policy ran on them, and on which nothing was tuned.
func HoldOut() []Trace {
	traces := []Trace{
		{Name: "mmpp-2", About: "100/s or 600/s, changing every 60 s on average", Load: schedule.MMPP(100, 600, time.Minute, 30*time.Minute, 7)},
		{Name: "sawtooth", About: "100/s to 600/s in 5 min, again and again", Load: join(repeat(schedule.Ramp(100, 600, 5*time.Minute), 6)...)},
		{Name: "stairs", About: "200/s, 400/s, 700/s, 200/s", Load: join(schedule.Constant(200, 5*time.Minute), schedule.Constant(400, 5*time.Minute),
			schedule.Constant(700, 5*time.Minute), schedule.Constant(200, 10*time.Minute))},
		{Name: "fast-sine", About: "100/s to 500/s in 2 min", Load: schedule.Sine(300, 200, 2*time.Minute, 20*time.Minute)},
		{Name: "blind", About: "120/s, 360/s, 120/s; no figures for 20 s before the fall", Load: schedule.Step(120, 360, 15*time.Minute),
			BlindFrom: 9*time.Minute + 50*time.Second, BlindFor: 20 * time.Second},
	}
	for i := range 7 {
		traces = append(traces, Trace{Name: "twitter-h" + string(rune('1'+i)), About: "like Twitter's stream, mean 250/s",
			Load: schedule.Twitter(250, 40*time.Minute, uint64(101+i))})
	}
	return traces
}

// Sparse are loads with which a replica has nothing to do most of the time.
func Sparse() []Trace {
	return []Trace{
		{Name: "rare", About: "an image every 10 min on average", Load: schedule.Constant(1./600, 4*time.Hour)},
		{Name: "sessions", About: "5/s for 5 min, every half hour", Load: join(repeat(join(schedule.Constant(5, 5*time.Minute), schedule.Constant(0, 25*time.Minute)), 4)...)},
	}
}

// slowAfter multiplies service times by 1/0.7 from a time on.
func slowAfter(when time.Duration) func(time.Duration) float64 {
	return func(t time.Duration) float64 {
		if t >= when {
			return 1 / 0.7
		}
		return 1
	}
}

// join concatenates loads. Like all loads here they have steps of a second and random arrivals: many independent users
// make a Poisson process.
func join(parts ...schedule.Schedule) schedule.Schedule {
	var all schedule.Schedule
	for _, p := range parts {
		all.Rates = append(all.Rates, p.Rates...)
	}
	return all
}

func repeat(s schedule.Schedule, times int) []schedule.Schedule {
	all := make([]schedule.Schedule, times)
	for i := range all {
		all[i] = s
	}
	return all
}

func scale(s schedule.Schedule, by float64) schedule.Schedule {
	scaled := schedule.Schedule{Rates: make([]float64, len(s.Rates))}
	for i, r := range s.Rates {
		scaled.Rates[i] = math.Round(r * by)
	}
	return scaled
}
