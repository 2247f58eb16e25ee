package schedule

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestTwitterStatistics holds 22 generated days, with Poisson arrivals, against what was measured of the
// real ones: within a fifth, the rare extremes within a third.
func TestTwitterStatistics(t *testing.T) {
	t.Parallel()
	s := Twitter(63.6, 22*24*time.Hour, 5)
	r := rand.New(rand.NewPCG(1, 1))
	counts := make([]float64, len(s.Rates))
	for i, rate := range s.Rates { // a normal distribution is near enough to Poisson's
		counts[i] = max(0, rate+math.Sqrt(rate)*r.NormFloat64())
	}
	means := func(n int) []float64 {
		var m []float64
		for part := range slices.Chunk(counts, n) {
			sum := 0.0
			for _, c := range part {
				sum += c
			}
			m = append(m, sum/float64(len(part)))
		}
		return m
	}
	moments := func(v []float64) (mean, deviation float64) {
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for _, x := range v {
			deviation += (x - mean) * (x - mean) / float64(len(v))
		}
		return mean, math.Sqrt(deviation)
	}
	near := func(what string, got, want, within float64) {
		t.Helper()
		if math.Abs(got/want-1) > within {
			t.Errorf("%s: %.3f, want %.3f within %.0f %%", what, got, want, 100*within)
		}
	}
	minutes := means(60)
	mean, deviation := moments(minutes)
	near("mean rate", mean, 63.6, 0.2)
	near("variation of minute means", deviation/mean, 0.63, 0.2)
	covariance := 0.0
	for i := 1; i < len(minutes); i++ {
		covariance += (minutes[i] - mean) * (minutes[i-1] - mean) / float64(len(minutes))
	}
	near("correlation of neighbouring minutes", covariance/deviation/deviation, 0.94, 0.05)
	tens := means(10)
	var ratios []float64
	for i := 1; i < len(tens); i++ {
		ratios = append(ratios, tens[i]/tens[i-1])
	}
	slices.Sort(ratios)
	near("99th percentile of 10 s ratios", ratios[len(ratios)*99/100], 1.22, 0.2)
	near("99.9th percentile", ratios[len(ratios)*999/1000], 2.07, 0.33)
	near("largest", ratios[len(ratios)-1], 5.8, 0.33)
	near("peak rate", slices.Max(means(1)), 388, 0.33)
}

func TestShortTwitterHasItsMean(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		s := Twitter(200, 30*time.Minute, seed)
		if mean := s.Expected() / 1800; math.Abs(mean-200) > 1e-6 {
			t.Errorf("seed %d: mean %v, want 200", seed, mean)
		}
	}
	if slices.Equal(Twitter(200, time.Hour, 1).Rates, Twitter(200, time.Hour, 2).Rates) {
		t.Error("two seeds gave the same load")
	}
}
