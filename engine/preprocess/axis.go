package preprocess

import (
	"math"
	"slices"
)

// precision is the number of fraction bits of a weight: a sum of bytes times weights fits 32 bits with a sign and a
// bit to spare (Pillow's PRECISION_BITS).
const precision = 32 - 8 - 2

// scale brings source pixels to resized pixels along one direction, of which Size in the centre are wanted.
//
// Resized pixel i covers the source from i*ratio to (i+1)*ratio, ratio = source/resized. It is the mean of source
// pixels under a triangle around the centre (i+1/2)*ratio with half width max(ratio, 1), sampled at the centres x+1/2
// of source pixels. The arithmetic is Pillow's in every step; conversions to float64 keep compilers from fusing
// multiplication and addition, which would round once less.
type scale struct {
	source int
	ratio  float64
	width  float64 // half the triangle's base, in source pixels
	crop   int64   // the first resized pixel that is wanted
}

func newScale(source int, resized int64) scale {
	ratio := float64(source) / float64(resized)
	return scale{source: source, ratio: ratio, width: max(ratio, 1), crop: cropStart(resized)}
}

// cropStart is the first of the Size pixels in the centre of resized ones, as torchvision's CenterCrop rounds it:
// round((resized-Size)/2) with halves going to the even neighbor.
func cropStart(resized int64) int64 {
	return int64(math.RoundToEven(float64(resized-Size) / 2))
}

// span is where wanted pixel i has its centre, and the source pixels from..end-1 that it is made of.
func (s scale) span(i int) (center float64, from, end int) {
	center = float64((float64(s.crop+int64(i)) + 0.5) * s.ratio)
	return center, max(int(center-s.width+0.5), 0), min(int(center+s.width+0.5), s.source)
}

// window is the source pixels that all wanted pixels are made of.
func (s scale) window() (first, end int) {
	_, first, _ = s.span(0)
	_, _, end = s.span(Size - 1)
	return first, end
}

// axis is the weights of a scale: of which source pixels each of the Size output pixels is made.
type axis struct {
	first, end int         // source pixels first..end-1 are used
	taps       int         // weights per output pixel, a multiple of tapGroup; those not needed are zero
	from       [Size]int32 // first source pixel of each output pixel, counted from first
	count      [Size]int32 // how many source pixels it is made of, at most taps
	weights    []int32     // taps of each output pixel in turn, with precision fraction bits; they sum to about 1
	split      []int16     // the same for vectors, see splitWeights; nil without them
}

// of is the weights of output pixel i.
func (a *axis) of(i int) []int32 { return a.weights[i*a.taps:][:a.count[i]] }

// tapGroup is how many weights of an output pixel vectors take at a time.
const tapGroup = 4

// set computes the weights of s.
func (a *axis) set(s scale) {
	a.first, a.end = s.window()
	most := 2*int(math.Ceil(s.width)) + 1
	a.taps = (most + tapGroup - 1) / tapGroup * tapGroup
	n := a.taps * Size
	a.weights = slices.Grow(a.weights[:0], n)[:n]
	for i := range Size {
		center, from, end := s.span(i)
		a.from[i], a.count[i] = int32(from-a.first), int32(end-from)
		s.triangle(a.weights[i*a.taps:(i+1)*a.taps], center, from, end)
	}
	a.split = splitWeights(a.split, a.weights)
}

// triangle writes the weights of source pixels from..end-1: the triangle's height 1-|x|/width at each, divided by the
// sum of all and rounded to fixed point. The rest of w becomes zero.
func (s scale) triangle(w []int32, center float64, from, end int) {
	inverse := 1 / s.width
	height := func(x int) float64 { return max(0, 1-math.Abs(float64((float64(x)-center+0.5)*inverse))) }
	sum := 0.0
	for x := from; x < end; x++ {
		sum += height(x)
	}
	for t := range w {
		w[t] = 0
		if x := from + t; x < end {
			w[t] = int32(0.5 + float64(height(x)/sum*(1<<precision)))
		}
	}
}
