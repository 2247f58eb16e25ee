// Package queueing sizes groups of servers behind one queue: given an offered load and a number of servers it
// returns probabilities of waiting, and the other way round. The scaling policies and the load tester's capacity
// plan use it. Offered load a = lambda/mu is in servers (erlangs); with a >= c servers the queue grows without bound.
package queueing

import "math"

// ErlangB is the probability that c servers without a queue are all busy under the offered load a, that is,
// the share of calls lost in M/M/c/c. By the recursion
//
//	B(0) = 1,  B(k) = a B(k-1) / (k + a B(k-1))
//
// which has only positive terms, so that it is accurate to the last digits (Erlang 1917; Jagerman 1974). It
// is 1 when c is not positive.
func ErlangB(c int, a float64) float64 {
	b := 1.0
	for k := 1; k <= c; k++ {
		b = a * b / (float64(k) + a*b)
	}
	return b
}

// ErlangC is the probability that an arrival has to wait in M/M/c with offered load a:
//
//	C = B / (1 - rho (1 - B)),  rho = a/c
//
// It is 1 when a >= c, because then every arrival waits.
func ErlangC(c int, a float64) float64 { return wait(c, a, ErlangB(c, a)) }

// wait computes Erlang's C from his B.
func wait(c int, a, b float64) float64 {
	if a >= float64(c) {
		return 1
	}
	return b / (1 - a/float64(c)*(1-b))
}

// WaitTail is the probability that an arrival waits longer than t seconds for one of c servers, when lambda
// arrive a second and a server does mu a second:
//
//	P(W > t) = C(c, lambda/mu) exp(-(c mu - lambda) t / v)
//
// With v = 1 it is exact for M/M/c (Gross and Harris, "Fundamentals of Queueing Theory", section 2.3). For
// general arrivals and service times v is [Variability] and the formula an approximation, by the step from
// M/M/c to G/G/c that Allen and Cunneen take for the mean wait (Allen, "Probability, Statistics and Queueing
// Theory", 1990, section 5.3). It is 1 when lambda >= c mu.
func WaitTail(c int, lambda, mu, v, t float64) float64 {
	return tail(c, lambda, mu, v, t, ErlangC(c, lambda/mu))
}

func tail(c int, lambda, mu, v, t, wait float64) float64 {
	spare := float64(c)*mu - lambda
	if spare <= 0 {
		return 1
	}
	return wait * math.Exp(-spare*t/v)
}

// Variability is (ca2 + cs2)/2, by which Allen and Cunneen scale waiting: the squared coefficients of
// variation of the times between arrivals and of the service times. M/M/c has 1, M/D/c 1/2.
func Variability(ca2, cs2 float64) float64 { return (ca2 + cs2) / 2 }

// Servers is the smallest number of servers with which no more than the share eps of arrivals waits longer
// than t seconds; see [WaitTail] for the arguments. The result is never above maxServers.
func Servers(lambda, mu, v, t, eps float64, maxServers int) int {
	a := lambda / mu
	b := 1.0
	for c := 1; c < maxServers; c++ {
		b = a * b / (float64(c) + a*b)
		if float64(c) > a && tail(c, lambda, mu, v, t, wait(c, a, b)) <= eps {
			return c
		}
	}
	return maxServers
}
