package queueing

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) { // NaN is not near
		t.Errorf("%s = %.6f, want %.6f", what, got, want)
	}
}

// TestErlangBTable: offered loads at which a share of calls is lost, as traffic tables print them (Iversen,
// "Teletraffic Engineering Handbook", ITU-D 2005, appendix B).
func TestErlangBTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		servers    int
		load, lost float64
	}{
		{1, 0.0101, 0.01}, {2, 0.1526, 0.01}, {5, 1.3608, 0.01}, {10, 4.4612, 0.01}, {20, 12.031, 0.01}, {50, 37.901, 0.01}, {100, 84.064, 0.01},
		{2, 0.2235, 0.02}, {10, 5.0840, 0.02}, {30, 21.932, 0.02},
		{5, 2.2185, 0.05}, {10, 6.2157, 0.05}, {20, 15.249, 0.05},
	} {
		near(t, "ErlangB", ErlangB(c.servers, c.load), c.lost, 2e-4*c.lost+3e-6)
	}
}

// TestErlangCTable: textbook values; with one server it is the load itself.
func TestErlangCTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		servers    int
		load, want float64
	}{
		{1, 0.5, 0.5}, {1, 0.9, 0.9}, {2, 1, 1. / 3}, {3, 2, 4. / 9}, {5, 4, 0.5541}, {10, 8, 0.4092}, {10, 5, 0.0361}, {20, 16, 0.2561},
		{4, 4, 1}, {4, 5, 1}, {0, 1, 1}, {3, 0, 0},
	} {
		near(t, "ErlangC", ErlangC(c.servers, c.load), c.want, 6e-5)
	}
}

// TestErlangBIsTheSum holds the recursion against the formula it comes from, a^c/c! over the sum of a^k/k!,
// summed in logarithms.
func TestErlangBIsTheSum(t *testing.T) {
	t.Parallel()
	term := func(k int, a float64) float64 {
		lg, _ := math.Lgamma(float64(k) + 1)
		return math.Exp(float64(k)*math.Log(a) - lg - a)
	}
	for _, c := range []int{1, 7, 60, 300} {
		for _, rho := range []float64{0.1, 0.7, 1, 1.3} {
			a, sum := rho*float64(c), 0.0
			for k := range c + 1 {
				sum += term(k, a)
			}
			near(t, "ErlangB", ErlangB(c, a), term(c, a)/sum, 1e-10)
		}
	}
}

// TestWaitTail: M/M/1 with rho = 0.8: P(W > t) = 0.8 exp(-0.2 mu t).
func TestWaitTail(t *testing.T) {
	t.Parallel()
	near(t, "WaitTail", WaitTail(1, 8, 10, 1, 0.5), 0.8*math.Exp(-1), 1e-12)
	near(t, "WaitTail when overloaded", WaitTail(2, 21, 10, 1, 100), 1, 0)
}

// TestWaitTailOfASimulatedQueue holds the formulas against Lindley's way of queueing: c servers, each image
// to the one that is free first.
func TestWaitTailOfASimulatedQueue(t *testing.T) {
	t.Parallel()
	const c, lambda, mu, n = 5, 85., 20., 400_000
	r := rand.New(rand.NewPCG(1, 2))
	free, now, waited, late := make([]float64, c), 0.0, 0, 0
	for range n {
		now += r.ExpFloat64() / lambda
		first := 0
		for i := range free {
			if free[i] < free[first] {
				first = i
			}
		}
		start := max(now, free[first])
		free[first] = start + r.ExpFloat64()/mu
		if start > now {
			waited++
		}
		if start-now > 0.1 {
			late++
		}
	}
	near(t, "share that waited", float64(waited)/n, ErlangC(c, lambda/mu), 0.02)
	near(t, "share that waited 100 ms", float64(late)/n, WaitTail(c, lambda, mu, 1, 0.1), 0.02)
}

// TestServers: the answer holds the promise and one less does not.
func TestServers(t *testing.T) {
	t.Parallel()
	const mu, slack, eps = 20, 0.42, 0.005
	for _, lambda := range []float64{0, 1, 19, 100, 300, 900} {
		c := Servers(lambda, mu, 0.5, slack, eps, 1000)
		if p := WaitTail(c, lambda, mu, 0.5, slack); p > eps {
			t.Errorf("Servers(%v) = %d, with which %v wait too long", lambda, c, p)
		}
		if p := WaitTail(c-1, lambda, mu, 0.5, slack); c > 1 && p <= eps {
			t.Errorf("Servers(%v) = %d, though %d would do", lambda, c, c-1)
		}
	}
	if c := Servers(900, mu, 1, slack, eps, 30); c != 30 {
		t.Errorf("Servers = %d, want the most, 30", c)
	}
}

// TestHalfinWhitt: with a + beta sqrt(a) servers, Erlang's C tends to 1 / (1 + beta Phi(beta) / phi(beta)) as a grows, with
// the normal distribution function Phi and its density phi (Halfin and Whitt, "Heavy-traffic limits for queues with many
// exponential servers", 1981).
func TestHalfinWhitt(t *testing.T) {
	t.Parallel()
	for beta, want := range map[float64]float64{0.5: 0.504, 1: 0.223, 1.65: 0.061, 2: 0.027} {
		density := math.Exp(-beta*beta/2) / math.Sqrt(2*math.Pi)
		distribution := math.Erfc(-beta/math.Sqrt2) / 2
		near(t, "limit", 1/(1+beta*distribution/density), want, 0.002)
		const a = 40_000
		near(t, "ErlangC by the square-root rule", ErlangC(int(math.Ceil(a+beta*math.Sqrt(a))), a), want, 0.005)
	}
}

// TestEdges: nobody serves, everybody waits; at full load a queue grows for ever.
func TestEdges(t *testing.T) {
	t.Parallel()
	near(t, "ErlangB without servers", ErlangB(0, 3), 1, 0)
	near(t, "ErlangB of one server", ErlangB(1, 3), 0.75, 1e-12)
	near(t, "ErlangC at full load", ErlangC(3, 3), 1, 0)
	near(t, "WaitTail at full load", WaitTail(3, 30, 10, 1, 100), 1, 0)
	near(t, "WaitTail with a server to spare by little", WaitTail(1, 9.5, 10, 1, 2), 0.95*math.Exp(-1), 1e-12)
}

// TestVariabilityScalesTheWait: twice the variability halves the rate at which the tail falls.
func TestVariabilityScalesTheWait(t *testing.T) {
	t.Parallel()
	near(t, "Variability", Variability(3, 1), 2, 0)
	const c, lambda, mu, wait = 4, 70., 20., 0.3
	spare := c*mu - lambda
	near(t, "WaitTail", WaitTail(c, lambda, mu, 2, wait), ErlangC(c, lambda/mu)*math.Exp(-spare*wait/2), 1e-12)
}

// TestServersIsTheLeast for many loads: the promise holds with as many, and with one less it does not.
func TestServersIsTheLeast(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{0.5, 1, 2.5} {
		for lambda := 0.; lambda < 400; lambda += 7 {
			const mu, slack, eps = 20, 0.1, 0.02
			want := 1
			for WaitTail(want, lambda, mu, v, slack) > eps {
				want++
			}
			if got := Servers(lambda, mu, v, slack, eps, 1000); got != want {
				t.Errorf("Servers(%v, v=%v) = %d, want %d", lambda, v, got, want)
			}
			for most := range want + 2 {
				if got := Servers(lambda, mu, v, slack, eps, max(1, most)); got != min(max(1, most), want) {
					t.Errorf("Servers(%v, v=%v) of at most %d = %d, want %d", lambda, v, most, got, min(most, want))
				}
			}
		}
	}
	// Half an image waits too long with a server, none with two: exactly as many as may.
	if got := Servers(10, 20, 1, 0, 0.5, 10); got != 1 {
		t.Errorf("Servers when just as many wait as may = %d, want 1", got)
	}
	// At full load everybody waits, however long.
	if got := Servers(20, 20, 1, 0, 1, 10); got != 2 {
		t.Errorf("Servers at full load = %d, want 2 though all may wait", got)
	}
}
