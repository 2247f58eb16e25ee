package fit

import "math"

// Discriminant is linear discriminant analysis: each class is a normal distribution with a mean m of its own and one
// covariance S for all, so that the logit of a class is
//
//	x·S⁻¹m - m·S⁻¹m/2 + log(share of the class)
//
// The covariance is that of the vectors around the means of their classes, drawn to a multiple of the identity as far as
// [shrinkage] says: there are more dimensions than vectors.
//
// The weights, too, are sums of vectors: with fewer vectors than dimensions they are computed in the space that those span, where
// the covariance has as many rows as there are vectors.
func Discriminant(s Set) Linear {
	if n := len(s.X); n < s.dim() {
		rows := span(s.X)
		return unspan(s.X, rows, discriminant(Set{padded(rows), s.Y, s.Classes}, s.dim()))
	}
	return discriminant(s, s.dim())
}

// padded is the rows of a triangle with their zeros.
func padded(rows [][]float64) [][]float64 {
	square := make([][]float64, len(rows))
	for i, row := range rows {
		square[i] = make([]float64, len(rows))
		copy(square[i], row)
	}
	return square
}

// discriminant fits vectors that are given in some of their dimensions; in the others all are 0.
func discriminant(s Set, dimensions int) Linear {
	d := s.dim()
	counts := s.Counts()
	l := Linear{W: make([][]float64, s.Classes), B: make([]float64, s.Classes)}
	means := make([][]float64, s.Classes)
	for k := range means {
		means[k], l.W[k] = make([]float64, d), make([]float64, d)
	}
	for i, x := range s.X {
		axpy(1/float64(counts[s.Y[i]]), x, means[s.Y[i]])
	}
	centered := make([][]float64, len(s.X))
	for i, x := range s.X {
		centered[i] = make([]float64, d)
		copy(centered[i], x)
		axpy(-1, means[s.Y[i]], centered[i])
	}
	covariance, trace := covariance(centered)
	share := shrinkage(centered, covariance, trace, dimensions)
	for i := range covariance {
		for j := range covariance[i] {
			covariance[i][j] *= 1 - share
		}
		covariance[i][i] += share*trace/float64(dimensions) + 1e-9 // the latter for vectors that are all equal
	}
	cholesky(covariance)
	for k, mean := range means {
		copy(l.W[k], mean)
		solve(covariance, l.W[k])
		l.B[k] = -Dot(l.W[k], mean)/2 + math.Log(float64(counts[k])/float64(len(s.Y)))
	}
	return l
}

// covariance is the lower triangle of XᵀX/n, and its trace.
func covariance(x [][]float64) (c [][]float64, trace float64) {
	d := len(x[0])
	c = make([][]float64, d)
	for i := range c {
		c[i] = make([]float64, i+1)
		for _, row := range x {
			if row[i] != 0 {
				axpy(row[i]/float64(len(x)), row[:i+1], c[i])
			}
		}
		trace += c[i][i]
	}
	return c, trace
}

// shrinkage is the share of the identity that makes the expected squared error of a covariance least, by Ledoit and Wolf, "A
// well-conditioned estimator for large-dimensional covariance matrices", 2004, lemma 3.2 to 3.4. With p dimensions, m = trace/p
// and the squared norm |A|² = Σ a²/p of a matrix:
//
//	delta² = |S - m·I|²,  beta² = min(delta², Σ |x xᵀ - S|² / n²),  share = beta²/delta²
//
// The vectors and S may lack dimensions where they are 0.
func shrinkage(x [][]float64, s [][]float64, trace float64, dimensions int) float64 {
	n, p := float64(len(x)), float64(dimensions)
	square := 0.0 // Σ s²
	for i, row := range s {
		square += 2*Dot(row[:i], row[:i]) + row[i]*row[i]
	}
	fourth := 0.0 // Σ |x|⁴
	for _, row := range x {
		sum := Dot(row, row)
		fourth += sum * sum
	}
	delta := square/p - trace*trace/(p*p)
	beta := (fourth/n - square) / (n * p)
	if !(delta > 0) || beta >= delta {
		return 1
	}
	return max(0, beta/delta)
}

// cholesky replaces the lower triangle of a positive definite matrix by L with L·Lᵀ the matrix.
func cholesky(a [][]float64) {
	for i, row := range a {
		for j := range i {
			row[j] = (row[j] - Dot(row[:j], a[j][:j])) / a[j][j]
		}
		row[i] = math.Sqrt(max(1e-18, row[i]-Dot(row[:i], row[:i])))
	}
}

// solve replaces b by the x for which L·Lᵀ·x = b.
func solve(l [][]float64, b []float64) {
	for i, row := range l {
		b[i] = (b[i] - Dot(row[:i], b[:i])) / row[i]
	}
	solveTransposed(l, b)
}

// solveTransposed replaces b by the x for which Lᵀ·x = b.
func solveTransposed(l [][]float64, b []float64) {
	for i := len(l) - 1; i >= 0; i-- {
		b[i] /= l[i][i]
		axpy(-b[i], l[i][:i], b[:i])
	}
}
