// Package fit finds linear classifiers of feature vectors: vectors with their classes come in, weights come out, and what to
// expect of them. It is pure mathematics: it knows no pictures, files or networks, and draws what is random from a seed.
// Package teach calls it with the features that a network has of pictures.
package fit

import "math"

// Set is vectors with their classes. It is read-only to this package.
type Set struct {
	X       [][]float64 // vectors of equal length
	Y       []int       // class of each, from 0
	Classes int
}

// Of returns the part of a set with the given indices.
func (s Set) Of(indices []int) Set {
	part := Set{X: make([][]float64, len(indices)), Y: make([]int, len(indices)), Classes: s.Classes}
	for i, index := range indices {
		part.X[i], part.Y[i] = s.X[index], s.Y[index]
	}
	return part
}

// Counts is the number of vectors of each class.
func (s Set) Counts() []int {
	counts := make([]int, s.Classes)
	for _, y := range s.Y {
		counts[y]++
	}
	return counts
}

// dim is the length of the vectors.
func (s Set) dim() int {
	if len(s.X) == 0 {
		return 0
	}
	return len(s.X[0])
}

// Linear is a classifier: the logit of class k is W[k]·x + B[k].
type Linear struct {
	W [][]float64
	B []float64
}

// Logits computes the logits of a vector.
func (l Linear) Logits(x []float64) []float64 {
	logits := make([]float64, len(l.W))
	for k, w := range l.W {
		logits[k] = Dot(w, x) + l.B[k]
	}
	return logits
}

// Scale returns the classifier whose logits are f times those of l.
func (l Linear) Scale(f float64) Linear {
	scaled := Linear{W: make([][]float64, len(l.W)), B: make([]float64, len(l.B))}
	for k, w := range l.W {
		scaled.W[k] = make([]float64, len(w))
		axpy(f, w, scaled.W[k])
		scaled.B[k] = f * l.B[k]
	}
	return scaled
}

// Normalize returns x scaled to a Euclidean length. Zeros stay zeros.
func Normalize(x []float32, length float64) []float64 {
	to := make([]float64, len(x))
	sum := 0.0
	for i, v := range x {
		to[i] = float64(v)
		sum += to[i] * to[i]
	}
	if sum == 0 {
		return to
	}
	for i := range to {
		to[i] *= length / math.Sqrt(sum)
	}
	return to
}

// Softmax turns logits into probabilities, in place, and returns the logarithm of the sum of their exponentials.
func Softmax(z []float64) float64 {
	top := z[Best(z)]
	sum := 0.0
	for i, v := range z {
		z[i] = math.Exp(v - top)
		sum += z[i]
	}
	for i := range z {
		z[i] /= sum
	}
	return top + math.Log(sum)
}

// Best is the index of the largest number, the first of equal ones.
func Best(z []float64) int {
	best := 0
	for i, v := range z {
		if v > z[best] {
			best = i
		}
	}
	return best
}

// Dot is the scalar product of vectors of equal length. It has four sums, so that an addition does not wait for the one before it.
func Dot(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		s0 += v * b[i]
	}
	return s0 + s1 + s2 + s3
}

// axpy adds f times x to y.
func axpy(f float64, x, y []float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += f * v
	}
}
