package preprocess

import (
	"math"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// precision is the number of fraction bits of a weight (Pillow's PRECISION_BITS).
//
// A sum of bytes times weights fits 32 bits with a sign. Weights sum to about 1; let p be the sum of the positive ones.
// The bilinear curve is never negative, so p is 1. For the bicubic one p is below 8/7: enlarged pictures have weights of -1/16, 9/16,
// 9/16, -1/16 halfway between two pixels, and 9/8, -1/8 at an edge; reducing brings the sums closer to the integrals, 13/12
// and -1/12. So a sum is between -255/7*2^22 and 255*8/7*2^22, which is below 2^31 by a factor of 1.7. That leaves room for
// the rounding of weights, half a unit each and so 255/2 in the sum. Intermediate sums need no bound, since additions wrap
// around. A single weight is below 8/7*2^22, so that its upper part, without 8 bits, fits 16 bits. TestWeightsFit checks
// the bounds.
const precision = 32 - 8 - 2

// axis is the weights of a scale: of which source pixels each of the output pixels is made.
type axis struct {
	scale      scale
	first, end int     // pixels first..end-1 of the picture are used
	from       []int32 // first pixel of each output pixel, counted from first
	count      []int32 // how many pixels it is made of, at most taps; not for spec.Nearest
	taps       int     // weights per output pixel, an even number of at least tapGroup; those not needed are zero
	weights    []int32 // taps of each output pixel in turn, with precision fraction bits; they sum to about 1
	split      []int16 // the same for vectors, see splitWeights; nil without them
	long       bool    // there are no weights, but sums: see long.go
	sums       []float64
	heights    []float64 // of an output pixel
}

// of is the weights of output pixel i.
func (a *axis) of(i int) []int32 { return a.weights[i*a.taps:][:a.count[i]] }

// tapGroup is how many weights of an output pixel vectors take at a time, after two that may be left over.
const tapGroup = 4

// set computes the weights of s, or what else its filter needs. Above limit pixels the axis is long.
func (a *axis) set(s scale, limit int) {
	a.scale = s
	a.first, a.end = s.window()
	a.from, a.count = resize(a.from, s.size), resize(a.count, s.size)
	if s.interpolation == spec.Nearest {
		a.long = false
		s.positions(a.from, a.first-s.offset)
		return
	}
	most := 1
	for i := range s.size {
		_, from, end := s.span(i)
		a.from[i], a.count[i] = int32(from-(a.first-s.offset)), int32(end-from)
		most = max(most, end-from)
	}
	if a.long = a.end-a.first > limit; a.long {
		a.setLong()
		return
	}
	a.taps = max((most+1)/2*2, tapGroup)
	a.heights = resize(a.heights, a.taps)
	a.weights = resize(a.weights, a.taps*s.size)
	for i := range s.size {
		a.setPixel(i)
	}
	a.split = splitWeights(a.split, a.weights, a.taps)
}

// setPixel computes the weights of output pixel i: the curve's height at each source pixel, divided by the sum of all
// and rounded to fixed point.
func (a *axis) setPixel(i int) {
	center, from, end := a.scale.span(i)
	inverse := 1 / a.scale.stretch
	heights, sum := a.heights[:end-from], 0.0
	for t := range heights {
		heights[t] = a.scale.height(from+t, center, inverse)
		sum += heights[t]
	}
	w := a.weights[i*a.taps:][:a.taps]
	for t, h := range heights {
		w[t] = fixed(h / sum)
	}
	clear(w[len(heights):])
}

// fixed rounds a weight to fixed point, halves away from zero.
func fixed(w float64) int32 {
	return int32(math.Copysign(0.5, w) + float64(w*(1<<precision)))
}
