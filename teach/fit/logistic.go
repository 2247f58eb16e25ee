package fit

// Logistic is multinomial logistic regression: the minimum over W and b of
//
//	1/2 ||W||² + c · Σ over vectors of -log softmax(W·x + b)[y]
//
// The biases b are not in the first term, as in scikit-learn. A larger c trusts the vectors more.
func Logistic(s Set, c float64) Linear {
	d := s.dim()
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
				z[k] = Dot(x, p[k*row:][:d]) + p[k*row+d]
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
