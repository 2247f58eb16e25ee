package fit

import "math"

// The settings of minimize.
const (
	lbfgsMemory     = 10   // pairs of steps and changes of the gradient that the curvature is known by
	lbfgsIterations = 300  // more than any head has taken; without them the result is what was reached
	lbfgsTolerance  = 1e-4 // of the gradient's length at the start
	armijo          = 1e-4 // least part of the decrease that the gradient promises
)

// minimize finds the minimum of a smooth convex function from x on, which it changes, by limited-memory BFGS (Nocedal and
// Wright, "Numerical Optimization", 2006, algorithm 7.4) with halving of steps. f returns the value at x and writes the
// gradient.
func minimize(x []float64, f func(x, gradient []float64) float64) {
	n := len(x)
	g, next, nextG, d := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	value := f(x, g)
	enough := lbfgsTolerance * norm(g)
	var pairs []pair // oldest first
	for range lbfgsIterations {
		if norm(g) <= enough {
			return
		}
		direction(d, g, pairs)
		slope := Dot(d, g)
		if !(slope < 0) { // rounding has spoilt the curvature
			pairs = nil
			direction(d, g, nil)
			slope = Dot(d, g)
		}
		step := 1.0
		if len(pairs) == 0 {
			step = min(1, 1/norm(g))
		}
		nextValue := 0.0
		for tries := 0; ; tries++ {
			copy(next, x)
			axpy(step, d, next)
			nextValue = f(next, nextG)
			if nextValue <= value+armijo*step*slope {
				break
			}
			if tries == 40 {
				return // at the precision of the arithmetic
			}
			step /= 2
		}
		p := pair{s: make([]float64, n), y: make([]float64, n)}
		for i := range n {
			p.s[i], p.y[i] = next[i]-x[i], nextG[i]-g[i]
		}
		if sy := Dot(p.s, p.y); sy > 1e-12*Dot(p.y, p.y) {
			p.rho = 1 / sy
			if pairs = append(pairs, p); len(pairs) > lbfgsMemory {
				pairs = pairs[1:]
			}
		}
		value = nextValue
		copy(x, next)
		copy(g, nextG)
	}
}

// pair is one step s and the change y of the gradient along it; rho is 1/s·y.
type pair struct {
	s, y []float64
	rho  float64
}

// direction writes -H·g, where H is the inverse of the Hessian as the pairs know it: the two loops of algorithm 7.4.
func direction(d, g []float64, pairs []pair) {
	for i, v := range g {
		d[i] = -v
	}
	alpha := make([]float64, len(pairs))
	for i := len(pairs) - 1; i >= 0; i-- {
		alpha[i] = pairs[i].rho * Dot(pairs[i].s, d)
		axpy(-alpha[i], pairs[i].y, d)
	}
	if len(pairs) > 0 {
		last := pairs[len(pairs)-1]
		scale := 1 / (last.rho * Dot(last.y, last.y))
		for i := range d {
			d[i] *= scale
		}
	}
	for i, p := range pairs {
		axpy(alpha[i]-p.rho*Dot(p.y, d), p.s, d)
	}
}

func norm(x []float64) float64 { return math.Sqrt(Dot(x, x)) }
