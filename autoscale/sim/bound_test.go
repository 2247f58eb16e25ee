package sim

import (
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// unavoidable is the share of images that are late with any policy that does not foresee rises of the load, if replicas
// take start seconds to start. In the second in which a rise begins the policy may know where it ends, and the rest of the
// future as well. It has at most a multiple of the replicas that the highest rate up to then needs, and only what was
// started for that rate in time.
//
// The queue is a fluid, first in, first out, at most 500 images long as in the simulation. When the replicas for a rise are
// ready, nothing waits anymore. Worked example: starts take 30 s, 120/s become 600/s, and the multiple is 2. There are
// replicas for 240/s. 0.42 * 240 = 101 images may wait without being late, and wait after 101/360 = 0.3 s. All images of the
// other 29.7 s are late.
func unavoidable(t Trace, start int, multiple float64) float64 {
	const parts, capacity, slack = 100, 500, 0.42 // of a second; images; seconds that an image may wait
	slowdown := func(second int) float64 {
		if t.Slowdown == nil {
			return 1
		}
		return t.Slowdown(time.Duration(second) * time.Second)
	}
	rates := t.Load.Rates
	highest := func(second int) float64 { // images/s that are known in a second to come, at full speed
		end := second
		if second == 0 || rates[second] > rates[second-1] {
			for end+1 < len(rates) && rates[end+1] > rates[end] {
				end++
			}
		}
		most := 0.0
		for i := range end + 1 {
			most = max(most, rates[i]*slowdown(i))
		}
		return most
	}
	late, all, waiting := 0.0, 0.0, 0.0
	for second, rate := range rates {
		known := rates[0]
		if second >= start {
			known = highest(second - start)
		}
		speed := max(float64(TraceLimits.Min)*20, multiple*known) / slowdown(second)
		for range parts {
			all += rate / parts
			switch {
			case rate <= speed:
				waiting = 0
			case waiting > slack*speed:
				late += rate / parts
				fallthrough
			default:
				waiting = min(capacity, waiting+(rate-speed)/parts)
			}
		}
	}
	return late / all
}

// TestUnavoidable has the example.
func TestUnavoidable(t *testing.T) {
	t.Parallel()
	step := Trace{Load: join(poisson(120, time.Minute), poisson(600, time.Minute))}
	const all, late = 120*60 + 600*60, 600 * 29.7
	if got := unavoidable(step, 30, 2); got < 0.99*late/all || got > 1.01*late/all {
		t.Errorf("a share of %v is late, want %v", got, late/all)
	}
	if got := unavoidable(step, 30, 5); got != 0 {
		t.Errorf("with five times as many replicas as needed a share of %v is late, want none", got)
	}
}

// TestSlowStarts checks what "Slow starts" in docs/autoscaling.md says: with starts of half a minute or more most late
// images are late with any policy, and deadline is near that.
func TestSlowStarts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("ten million images")
	}
	for start, most := range map[int]float64{30: 1.35, 60: 1.3} {
		bound := 0.0
		for _, trace := range Traces() {
			bound += unavoidable(trace, start, 2.2) / float64(len(Traces()))
		}
		e := Experiment{Traces: Traces(), Contestants: []Contestant{Deadline("", func(*autoscale.DeadlineConfig) {}), KPA("", 0)}, Seeds: 1,
			Base: Config{Limits: TraceLimits, Delay: Fixed(time.Duration(start) * time.Second)}}
		o, err := e.Run(t.Context(), func(int, int) {})
		if err != nil {
			t.Fatal(err)
		}
		late, rival := o.Over(0, Result.Violations).Mean, o.Over(1, Result.Violations).Mean
		t.Logf("starts of %d s: %.2f %% are late with any policy, %.2f times what kpa is late in; deadline in %.2f %%", start, 100*bound, bound/rival, 100*late)
		if late > most*bound || bound < 0.3*rival {
			t.Errorf("starts of %d s: deadline is late in %.2f %%, kpa in %.2f %%, any policy in %.2f %%; want at most %.2f times that, and more than 0.3 times kpa",
				start, 100*late, 100*rival, 100*bound, most)
		}
	}
}
