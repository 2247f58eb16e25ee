package preprocess

import "github.com/resnet18cloud/resnet18cloud/engine/spec"

// half rounds a fixed-point sum to the nearest integer when the fraction is cut off.
const half = 1 << (precision - 1)

// alongRowGeneric resizes a row along its length: output pixel i, from begin on, is the weighted mean of the source
// pixels that x names. src begins with pixel x.first.
func alongRowGeneric(dst, src []byte, x *axis, begin int) {
	for i := begin; i < len(x.from); i++ {
		r, g, b := int32(half), int32(half), int32(half)
		weights := x.of(i)
		p := src[3*x.from[i]:][:3*len(weights)]
		for t, w := range weights {
			r += int32(p[3*t]) * w
			g += int32(p[3*t+1]) * w
			b += int32(p[3*t+2]) * w
		}
		dst[3*i], dst[3*i+1], dst[3*i+2] = clip(r), clip(g), clip(b)
	}
}

// blendGeneric makes one output row of source rows above each other, one for each weight, stride bytes apart: each
// byte is the weighted mean of those in its column.
func blendGeneric(dst, src []byte, stride int, weights []int32) {
	var all [3 * spec.MaxSize]int32
	sums := all[:len(dst)]
	for j := range sums {
		sums[j] = half
	}
	for t, w := range weights {
		for j, v := range src[t*stride:][:len(sums)] {
			sums[j] += int32(v) * w
		}
	}
	clipAll(dst, sums)
}

// clip drops the fraction of a sum, and keeps it in a byte: weights may be negative, and were rounded.
func clip(sum int32) byte { return byte(min(max(sum>>precision, 0), 255)) }
