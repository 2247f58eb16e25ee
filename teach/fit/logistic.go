package fit

// Logistic is multinomial logistic regression: the minimum over W and b of
//
//	1/2 ||W||² + c · Σ over vectors of -log softmax(W·x + b)[y]
//
// The biases b are not in the first term, as in scikit-learn. A larger c trusts the vectors more.
//
// The rows of W are sums of vectors: what is perpendicular to all of them only adds to the first term. With fewer vectors than
// dimensions it is therefore fitted in the coordinates of the space that they span, which takes a quarter of the time.
func Logistic(s Set, c float64) Linear {
	if n := len(s.X); n < s.dim() {
		rows := span(s.X)
		return unspan(s.X, rows, logistic(Set{rows, s.Y, s.Classes}, n, c))
	}
	return logistic(s, s.dim(), c)
}

// span returns vectors in coordinates of the space that they span: the triangle L for which L·Lᵀ are their scalar products.
// Vector i is row i, of i+1 numbers; the others are 0.
func span(x [][]float64) [][]float64 {
	rows := make([][]float64, len(x))
	for i := range rows {
		rows[i] = make([]float64, i+1)
		for j := range rows[i] {
			rows[i][j] = Dot(x[i], x[j])
		}
	}
	cholesky(rows)
	return rows
}

// unspan turns a classifier of the coordinates of vectors x, which are rows, into one of vectors. It changes l.
func unspan(x, rows [][]float64, l Linear) Linear {
	for k, w := range l.W {
		solveTransposed(rows, w) // now the factors of the vectors
		l.W[k] = make([]float64, len(x[0]))
		for i, f := range w {
			axpy(f, x[i], l.W[k])
		}
	}
	return l
}

// logistic fits vectors of up to d numbers, the others of which are 0.
func logistic(s Set, d int, c float64) Linear {
	row := d + 1 // the weights of a class, then its bias
	parameters := make([]float64, s.Classes*row)
	z := make([]float64, s.Classes)
	minimize(parameters, func(p, gradient []float64) float64 {
		value := 0.0
		clear(gradient)
		for k := range s.Classes {
			w := p[k*row:][:d]
			value += Dot(w, w) / 2
			copy(gradient[k*row:], w)
		}
		for i, x := range s.X {
			for k := range z {
				z[k] = Dot(x, p[k*row:]) + p[k*row+d]
			}
			given := z[s.Y[i]]
			value += c * (Softmax(z) - given)
			z[s.Y[i]]--
			for k, e := range z {
				axpy(c*e, x, gradient[k*row:])
				gradient[k*row+d] += c * e
			}
		}
		return value
	})
	l := Linear{W: make([][]float64, s.Classes), B: make([]float64, s.Classes)}
	for k := range s.Classes {
		l.W[k], l.B[k] = parameters[k*row:][:d:d], parameters[k*row+d]
	}
	return l
}
