package sim

import (
	_ "embed"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Service is a distribution of service times.
type Service struct {
	Mean     time.Duration // of one image on one worker, without slowdown
	Relative []float32     // equally likely times relative to the mean; nil means [Measured]
}

// serviceData has the time of each of the 1000 sample images in one worker, in milliseconds.
//
//go:embed service.csv
var serviceData string

// Measured is the distribution of the service times of the sample images relative to their mean: see service.csv for
// their origin. Callers must not change the slice.
var Measured = sync.OnceValue(func() []float32 {
	relative, err := readService(serviceData)
	if err != nil {
		panic(err) // the file is embedded, and tested
	}
	return relative
})

// readService reads one time per line, and divides by the mean. Lines that begin with # are comments.
func readService(data string) ([]float32, error) {
	var times []float64
	sum := 0.0
	for line := range strings.Lines(data) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		ms, err := strconv.ParseFloat(line, 64)
		if err != nil || !(ms > 0 && ms < 1e9) {
			return nil, fmt.Errorf("service time %q: want milliseconds above 0", line)
		}
		times, sum = append(times, ms), sum+ms
	}
	if len(times) == 0 {
		return nil, fmt.Errorf("no service times")
	}
	relative := make([]float32, len(times))
	for i, ms := range times {
		relative[i] = float32(ms / sum * float64(len(times)))
	}
	slices.Sort(relative)
	return relative, nil
}

// HeavyTailed is a distribution in which a share of the images takes much longer than usual: from to the multiple of the
// mean, by a Pareto distribution with exponent 1.5 that ends at to. The mean is 1 again.
//
// Worked example: of one image in a hundred, from 4 to 9 times, half take up to 4 / (1 - 0.5*(1 - (4/9)^1.5))^(1/1.5) =
// 5.2 times as long.
func HeavyTailed(usual []float32, share, from, to float64) []float32 {
	const alpha, n = 1.5, 10000
	relative := make([]float32, n)
	slow := int(share * n)
	sum := 0.0
	for i := range relative {
		if i < slow {
			u := (float64(i) + 0.5) / float64(slow) * (1 - math.Pow(from/to, alpha))
			relative[i] = float32(from * math.Pow(1-u, -1/alpha))
		} else {
			relative[i] = usual[(i-slow)*len(usual)/(n-slow)]
		}
		sum += float64(relative[i])
	}
	for i := range relative {
		relative[i] *= float32(n / sum)
	}
	return relative
}

// Delay draws the time that a replica takes from request to readiness, when so many replicas including itself start
// at the same time.
type Delay func(r *rand.Rand, together int) time.Duration

// Uniform delays lie between two bounds.
func Uniform(from, to time.Duration) Delay {
	return func(r *rand.Rand, _ int) time.Duration { return from + time.Duration(r.Float64()*float64(to-from)) }
}

// Fixed delays are all the same.
func Fixed(d time.Duration) Delay { return func(*rand.Rand, int) time.Duration { return d } }

// WithStragglers delays one in oneIn replicas by more.
func WithStragglers(usual Delay, oneIn int, more time.Duration) Delay {
	return func(r *rand.Rand, together int) time.Duration {
		d := usual(r, together)
		if r.IntN(oneIn) == 0 {
			d += more
		}
		return d
	}
}

// Start is an observed start of a replica.
type Start struct {
	Together int           `json:"together"` // replicas that were starting then, including itself
	Took     time.Duration `json:"took"`
}

// Observed delays are drawn from observed starts with about the same number of concurrent starts: replicas that start
// together on one machine compete for CPU.
func Observed(starts []Start) Delay {
	if len(starts) == 0 {
		return nil
	}
	return func(r *rand.Rand, together int) time.Duration {
		var alike []time.Duration
		nearest := math.MaxInt
		for _, s := range starts {
			apart := max(s.Together-together, together-s.Together)
			if apart < nearest {
				nearest, alike = apart, alike[:0]
			}
			if apart == nearest {
				alike = append(alike, s.Took)
			}
		}
		return alike[r.IntN(len(alike))]
	}
}
