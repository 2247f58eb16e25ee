package preprocess

import (
	"math"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// scale brings source pixels to resized pixels along one direction, of which size pixels in the center are wanted.
//
// Resized pixel i covers the source from i*ratio to (i+1)*ratio, ratio = source/resized. It is the mean of source
// pixels under the filter's curve around the center (i+1/2)*ratio, stretched by max(ratio, 1), sampled at the centers
// x+1/2 of source pixels. The arithmetic is Pillow's in every step; conversions to float64 keep compilers from fusing
// multiplication and addition, which would round once less.
type scale struct {
	interpolation spec.Interpolation
	offset        int // of the source in the picture, in pixels
	source        int // pixels
	ratio         float64
	stretch       float64
	support       float64 // half the width of the stretched curve, in source pixels
	crop          int64   // the first resized pixel that is wanted
	size          int
}

// scales returns what happens to the columns and to the rows of a picture.
func scales(p spec.Preprocess, width, height int) (x, y scale) {
	left, top, w, h := 0, 0, width, height
	resizedWidth, resizedHeight := int64(p.Resize), int64(p.Resize)
	switch p.Mode {
	case spec.Shorter:
		resizedWidth, resizedHeight = shorter(int64(p.Resize), int64(width), int64(height))
	case spec.Fill:
		side := square(p.Resize, width, height)
		left, top, w, h = (width-side)/2, (height-side)/2, side, side
	case spec.Squash:
	}
	return newScale(p, left, w, resizedWidth), newScale(p, top, h, resizedHeight)
}

// shorter is torchvision's Resize with one number: the shorter side becomes size, the longer one
// int(size*long/short). The quotient of integers is the same number, as float64 holds every value involved.
func shorter(size, width, height int64) (w, h int64) {
	if width <= height {
		return size, size * height / width
	}
	return size * width / height, size
}

// square is the side of the square that fastai's Resize crops from a picture first, int(m*size) with m the smaller one of
// width/size and height/size. It may be a pixel less than the picture's shorter side, since m is rounded.
func square(size, width, height int) int {
	m := min(float64(width)/float64(size), float64(height)/float64(size))
	return max(int(m*float64(size)), 1)
}

func newScale(p spec.Preprocess, offset, source int, resized int64) scale {
	ratio := float64(source) / float64(resized)
	s := scale{interpolation: p.Interpolation, offset: offset, source: source, ratio: ratio, stretch: max(ratio, 1),
		crop: cropStart(p.Center, resized, int64(p.Crop)), size: p.Crop}
	s.support = s.stretch
	if p.Interpolation == spec.Bicubic {
		s.support *= 2
	}
	return s
}

// cropStart is the first of size pixels in the center of resized ones. Halves are rounded to the even neighbor, as
// torchvision's CenterCrop does, or down.
func cropStart(r spec.Rounding, resized, size int64) int64 {
	if r == spec.Floor {
		return (resized - size) / 2
	}
	return int64(math.RoundToEven(float64(resized-size) / 2))
}

// span is where wanted pixel i has its center, and the source pixels from..end-1 that it is made of.
func (s *scale) span(i int) (center float64, from, end int) {
	center = float64((float64(s.crop+int64(i)) + 0.5) * s.ratio)
	return center, max(int(center-s.support+0.5), 0), min(int(center+s.support+0.5), s.source)
}

// window is the pixels of the picture that all wanted pixels are made of.
func (s *scale) window() (first, end int) {
	if s.interpolation == spec.Nearest {
		x := s.nearest(s.crop)
		first, end = s.clamp(x), s.clamp(addTimes(x, s.ratio, int64(s.size-1)))+1
	} else {
		_, first, _ = s.span(0)
		_, _, end = s.span(s.size - 1)
	}
	return first + s.offset, end + s.offset
}

// height is the filter's curve at source pixel x, for a wanted pixel with this center and inverse = 1/stretch.
func (s *scale) height(x int, center, inverse float64) float64 {
	d := math.Abs(float64((float64(x) - center + 0.5) * inverse))
	if s.interpolation == spec.Bicubic {
		return cubic(d)
	}
	return max(0, 1-d)
}

// cubic is Keys's curve with a = -1/2 at a distance of at least 0, in the order of Pillow's operations:
//
//	(a+2)d³ - (a+3)d² + 1     d < 1
//	a(d³ - 5d² + 8d - 4)      d < 2
//
// (R. Keys, Cubic convolution interpolation for digital image processing, 1981).
func cubic(d float64) float64 {
	switch {
	case d < 1:
		return float64(float64((float64(1.5*d)-2.5)*d)*d) + 1
	case d < 2:
		return (float64((float64((d-5)*d)+8)*d) - 4) * -0.5
	}
	return 0
}
