package fit

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// clouds is vectors around a mean for each class, with deviations of their own in each dimension.
func clouds(seed uint64, means [][]float64, deviation []float64, each int) Set {
	src := rand.New(rand.NewPCG(seed, 1))
	s := Set{Classes: len(means)}
	for range each {
		for k, mean := range means {
			x := make([]float64, len(mean))
			for i := range x {
				x[i] = mean[i] + deviation[i]*src.NormFloat64()
			}
			s.X, s.Y = append(s.X, x), append(s.Y, k)
		}
	}
	return s
}

// corners is classes that are far from each other in many dimensions.
func corners(seed uint64, classes, dims, each int, distance float64) Set {
	means, deviation := make([][]float64, classes), make([]float64, dims)
	for i := range deviation {
		deviation[i] = 1
	}
	for k := range means {
		means[k] = make([]float64, dims)
		means[k][k] = distance
	}
	return clouds(seed, means, deviation, each)
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s = %v, want %v within %v", what, got, want, within)
	}
}

// TestLogisticMinimum checks that the gradient is zero at the result, by the definition, and that the solution of a case that
// can be solved by hand is found.
func TestLogisticMinimum(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		c    float64
		dims int
	}{{0.3, 8}, {3, 8}, {0.3, 60}, {3, 60}} { // more and fewer vectors than dimensions
		c, s := test.c, corners(5, 3, test.dims, 7, 1.5)
		s.X[4] = s.X[1] // twice the same vector, of two classes
		l := Logistic(s, c)
		gradient := Linear{W: make([][]float64, 3), B: make([]float64, 3)}
		for k := range gradient.W {
			gradient.W[k] = slices.Clone(l.W[k])
		}
		for i, x := range s.X {
			p := l.Logits(x)
			Softmax(p)
			p[s.Y[i]]--
			for k := range p {
				axpy(c*p[k], x, gradient.W[k])
				gradient.B[k] += c * p[k]
			}
		}
		scale := c * float64(len(s.X))
		for k := range gradient.W {
			near(t, "gradient of a bias", gradient.B[k], 0, 1e-3*scale)
			near(t, "length of a gradient", norm(gradient.W[k]), 0, 1e-3*scale)
		}
	}
	// Two vectors at -1 and 1: by symmetry W = (-w, w) and b = 0, and w = 2c/(1+exp(2w)), the derivative of w² + 2c·log(1+exp(-2w)).
	l := Logistic(Set{X: [][]float64{{-1}, {1}}, Y: []int{0, 1}, Classes: 2}, 1)
	w := l.W[1][0]
	near(t, "w", w, 2/(1+math.Exp(2*w)), 1e-3)
	near(t, "other w", l.W[0][0], -w, 1e-6)
	near(t, "bias", l.B[0], l.B[1], 1e-6)
}

// TestMinimize finds minima that are known.
func TestMinimize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		from []float64
		f    func(x, g []float64) float64
		want []float64
	}{
		{"a long valley", []float64{5, -3, 1}, func(x, g []float64) float64 {
			value := 0.0
			for i, scale := range []float64{1, 100, 1e4} {
				d := x[i] - float64(i)
				g[i] = scale * d
				value += scale * d * d / 2
			}
			return value
		}, []float64{0, 1, 2}},
		{"Rosenbrock's banana", []float64{-1.2, 1}, func(x, g []float64) float64 {
			a, b := 1-x[0], x[1]-x[0]*x[0]
			g[0], g[1] = -2*a-400*x[0]*b, 200*b
			return a*a + 100*b*b
		}, []float64{1, 1}},
		{"at the minimum already", []float64{0}, func(x, g []float64) float64 { g[0] = 2 * x[0]; return x[0] * x[0] }, []float64{0}},
	} {
		minimize(test.from, test.f)
		for i, want := range test.want {
			near(t, fmt.Sprintf("%s: x[%d]", test.name, i), test.from[i], want, 0.05)
		}
	}
}

// TestDiscriminantIsBayes compares with the best classifier that there is, for normal distributions that are known.
func TestDiscriminantIsBayes(t *testing.T) {
	t.Parallel()
	means, deviation := [][]float64{{0, 0, 0}, {2, 0, 1}}, []float64{1, 3, 0.5}
	s := clouds(3, means, deviation, 4000)
	l := Discriminant(s)
	for i, d := range deviation {
		want := (means[1][i] - means[0][i]) / (d * d)
		near(t, fmt.Sprintf("weight %d", i), l.W[1][i]-l.W[0][i], want, 0.05*max(1, math.Abs(want)))
	}
	// In the middle of the means both classes are equally probable.
	z := l.Logits([]float64{1, 0, 0.5})
	near(t, "difference in the middle", z[1]-z[0], 0, 0.15)
}

// TestDiscriminantShares checks that a class that is rarer needs more evidence: by the logarithm of its share.
func TestDiscriminantShares(t *testing.T) {
	t.Parallel()
	s := clouds(4, [][]float64{{-1}, {1}, {1}, {1}}, []float64{1}, 3000)
	s.Classes = 2
	for i := range s.Y {
		s.Y[i] = min(1, s.Y[i])
	}
	z := Discriminant(s).Logits([]float64{0})
	near(t, "difference in the middle", z[1]-z[0], math.Log(3), 0.1)
}

// TestDiscriminantSpan checks that the space that few vectors span gives the classifier of all dimensions, also with a vector twice.
func TestDiscriminantSpan(t *testing.T) {
	t.Parallel()
	s := corners(3, 3, 60, 8, 2)
	s.X[4] = s.X[1]
	got, want := Discriminant(s), discriminant(s, s.dim())
	for k := range want.W {
		near(t, fmt.Sprintf("bias %d", k), got.B[k], want.B[k], 1e-6)
		for i := range want.W[k] {
			near(t, fmt.Sprintf("weight %d of %d", i, k), got.W[k][i], want.W[k][i], 1e-6)
		}
	}
}

// TestShrinkage compares with the definition, and checks the limits: nearly nothing for many vectors, much for few.
func TestShrinkage(t *testing.T) {
	t.Parallel()
	of := func(x [][]float64) float64 {
		c, trace := covariance(x)
		return shrinkage(x, c, trace, len(x[0]))
	}
	deviations := make([]float64, 20)
	for i := range deviations {
		deviations[i] = 1 + float64(i)
	}
	for _, n := range []int{10, 100, 10000} {
		x := clouds(uint64(n), [][]float64{make([]float64, 20)}, deviations, n).X
		near(t, fmt.Sprintf("of %d", n), of(x), shrinkageByDefinition(x), 1e-9)
	}
	if got := of(clouds(1, [][]float64{make([]float64, 20)}, deviations, 10000).X); got > 0.01 {
		t.Errorf("of 10000 vectors: %v, want nearly 0", got)
	}
	if got := of(clouds(1, [][]float64{make([]float64, 20)}, deviations, 5).X); got < 0.2 {
		t.Errorf("of 5 vectors: %v, want much", got)
	}
	if got := of([][]float64{{0, 0}, {0, 0}}); got != 1 {
		t.Errorf("of equal vectors: %v, want 1", got)
	}
}

// shrinkageByDefinition is slow and plain.
func shrinkageByDefinition(x [][]float64) float64 {
	n, p := len(x), len(x[0])
	s := make([][]float64, p)
	m := 0.0
	for i := range p {
		s[i] = make([]float64, p)
		for j := range p {
			for _, row := range x {
				s[i][j] += row[i] * row[j] / float64(n)
			}
		}
		m += s[i][i] / float64(p)
	}
	delta, beta := 0.0, 0.0
	for i := range p {
		for j := range p {
			d := s[i][j]
			if i == j {
				d -= m
			}
			delta += d * d / float64(p)
			for _, row := range x {
				e := row[i]*row[j] - s[i][j]
				beta += e * e / float64(p) / float64(n*n)
			}
		}
	}
	return min(beta, delta) / delta
}

// TestEqualVectors checks that vectors without any difference give numbers.
func TestEqualVectors(t *testing.T) {
	t.Parallel()
	s := Set{X: [][]float64{{1, 2}, {1, 2}, {1, 2}, {1, 2}}, Y: []int{0, 0, 1, 1}, Classes: 2}
	for _, m := range Methods() {
		z := m.Fit(s).Logits(s.X[0])
		Softmax(z)
		near(t, m.Name, z[0], 0.5, 1e-6)
	}
}

func TestCholeskySolves(t *testing.T) {
	t.Parallel()
	a := [][]float64{{4}, {2, 5}, {1, 3, 6}} // [4 2 1; 2 5 3; 1 3 6]
	b := []float64{4*1 + 2*-2 + 3, 2*1 + 5*-2 + 3*3, 1 + 3*-2 + 6*3}
	cholesky(a)
	solve(a, b)
	for i, want := range []float64{1, -2, 3} {
		near(t, fmt.Sprintf("x[%d]", i), b[i], want, 1e-12)
	}
}

// TestMethodsLearn checks that classes that lie apart are learned by all methods, in fewer vectors than dimensions, and
// that chance is all there is if they do not.
func TestMethodsLearn(t *testing.T) {
	t.Parallel()
	for _, m := range Methods() {
		for _, test := range []struct {
			distance, low, high float64
		}{{8, 0.95, 1}, {0, 0.05, 0.5}} {
			s := corners(9, 4, 60, 12, test.distance)
			fold, folds := Folds(s.Y, s.Classes, 1)
			logits, err := OutOfFold(t.Context(), s, m, fold, folds, 1, 2)
			if err != nil {
				t.Fatal(err)
			}
			if got := Accuracy(logits, s.Y); got < test.low || got > test.high {
				t.Errorf("%s at distance %v: accuracy %v, want %v to %v", m.Name, test.distance, got, test.low, test.high)
			}
		}
	}
}

// TestOutOfFoldIsUnseen checks that no vector takes part in its own classification: a method that remembers vectors knows
// none.
func TestOutOfFoldIsUnseen(t *testing.T) {
	t.Parallel()
	s := Set{Classes: 3}
	for i := range 30 {
		s.X, s.Y = append(s.X, []float64{float64(i)}), append(s.Y, i%3)
	}
	for _, share := range []float64{0.5, 1} {
		var sizes [MaxFolds]int
		fold, folds := Folds(s.Y, s.Classes, 4)
		call := 0
		memory := Method{"memory", func(part Set) Linear {
			sizes[call] = len(part.X)
			call++
			for _, x := range part.X {
				if fold[int(x[0])] == call-1 {
					t.Errorf("fold %d was fitted with %v of itself", call-1, x)
				}
			}
			return Linear{W: make([][]float64, 3), B: make([]float64, 3)}
		}}
		if _, err := OutOfFold(t.Context(), s, memory, fold, folds, share, 1); err != nil {
			t.Fatal(err)
		}
		if want := int(share * 24); slices.Min(sizes[:]) != want || slices.Max(sizes[:]) != want {
			t.Errorf("share %v: fitted with %v vectors, want %d", share, sizes, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fold, folds := Folds(s.Y, s.Classes, 4)
	if _, err := OutOfFold(ctx, s, Methods()[0], fold, folds, 1, 2); err == nil {
		t.Error("a cancelled context: no error")
	}
}

func TestFolds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		counts []int
		folds  int
	}{{[]int{20, 13, 8}, 5}, {[]int{40, 3}, 3}, {[]int{2, 2, 2}, 2}, {[]int{7, 100, 2}, 2}} {
		var y []int
		for k, n := range test.counts {
			for range n {
				y = append(y, k)
			}
		}
		fold, folds := Folds(y, len(test.counts), 11)
		if folds != test.folds {
			t.Errorf("%v: %d folds, want %d", test.counts, folds, test.folds)
		}
		parts := make([][]int, len(test.counts))
		for k := range parts {
			parts[k] = make([]int, folds)
		}
		for i, f := range fold {
			parts[y[i]][f]++
		}
		for k, part := range parts {
			if slices.Max(part)-slices.Min(part) > 1 || slices.Min(part) == 0 {
				t.Errorf("%v: class %d is split into %v, want parts of nearly equal size", test.counts, k, part)
			}
		}
		again, _ := Folds(y, len(test.counts), 11)
		other, _ := Folds(y, len(test.counts), 12)
		if !slices.Equal(fold, again) || len(y) > 10 && slices.Equal(fold, other) {
			t.Errorf("%v: folds do not follow the seed", test.counts)
		}
	}
}
