package preprocess

import "math"

// nearest takes rows from to end-1 for the filter spec.Nearest: pix begins with the window's first column in row from.
// Row i of r.rows becomes row i of the input. It moves pixels of three bytes, so vectors would not help.
func (r *Resizer) nearest(pix []byte, stride, rowBytes, from, end int) {
	p := &r.plan
	for i, y := range p.y.from {
		at := p.y.first + int(y) - from
		if at < 0 || at >= end-from {
			continue
		}
		to := r.rows[i*p.stride:][:p.stride]
		if i > 0 && p.y.from[i-1] == y {
			copy(to, r.rows[(i-1)*p.stride:]) // the picture is enlarged
			continue
		}
		row := pix[at*stride:][:rowBytes]
		for j, x := range p.x.from {
			*(*[3]byte)(to[3*j:]) = [3]byte(row[3*x:])
		}
	}
}

// positions writes the source pixel of each wanted pixel, counted from first. Pillow starts at ratio/2 and adds ratio for
// each pixel; the rounding of all these sums is part of the result (src/libImaging/Geometry.c, ImagingScaleAffine).
func (s *scale) positions(dst []int32, first int) {
	x := s.nearest(s.crop)
	for i := range dst {
		dst[i] = int32(s.clamp(x) - first)
		x += s.ratio
	}
}

// nearest is where resized pixel i lies in the source.
func (s *scale) nearest(i int64) float64 { return addTimes(s.ratio*0.5, s.ratio, i) }

// clamp is the source pixel at x.
func (s *scale) clamp(x float64) int { return min(int(x), s.source-1) }

// addTimes adds step to x n times, rounding each sum to float64; both are positive. It takes a few steps for each power
// of two that the sum passes, as n is up to 10^11 for a picture of 50 million pixels in one row.
//
// Between two powers of two floats have the same distance u, so that each sum grows by the same multiple of u: step
// rounded to u. Where step lies halfway between two multiples, the sum is rounded to an even multiple of u, and from
// there on always to the same side. So one step after the last power of two the growth is constant.
func addTimes(x, step float64, n int64) float64 {
	for ; n > 0; n-- {
		_, exponent := math.Frexp(x)
		limit := math.Ldexp(1, exponent) // the next power of two
		second := x + step
		third := second + step
		growth := third - second
		x = second
		if steps := int64((limit-third)/growth) - 1; third < limit && steps > 0 {
			steps = min(steps, n-1)
			x += float64(float64(steps) * growth) // exact: a multiple of u below limit
			n -= steps
		}
	}
	return x
}
