// Package wilson has the score interval of a share: E. B. Wilson, "Probable inference, the law of succession, and statistical
// inference", Journal of the American Statistical Association 22 (1927). Unlike the usual interval it does not leave 0 to 1,
// and holds for few observations too.
package wilson

import "math"

// Z95 is the quantile of the normal distribution for bounds that hold in 95 of 100 cases.
const Z95 = 1.959964

// Bounds returns the bounds of a share of which k of n were seen, for a quantile z of the normal distribution: the roots of
//
//	(k/n - x)^2 = z^2 x (1-x) / n
//
// With n = 0 they are 0 and 1.
func Bounds(k, n int, z float64) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	p, m := float64(k)/float64(n), float64(n)
	center := p + z*z/(2*m)
	width := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, (center-width)/(1+z*z/m)), min(1, (center+width)/(1+z*z/m))
}
