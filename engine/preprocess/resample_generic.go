package preprocess

// half rounds a fixed-point sum to the nearest integer when the fraction is cut off.
const half = 1 << (precision - 1)

// alongRowGeneric resizes a row along its length: output pixel i, from begin on, is the weighted mean of the source
// pixels that x names. src begins with pixel x.first.
func alongRowGeneric(dst, src []byte, x *axis, begin int) {
	for i := begin; i < Size; i++ {
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

// blendGeneric makes one output row of source rows above each other, one for each weight, rowStride bytes apart: each
// byte is the weighted mean of those in its column.
func blendGeneric(dst *[3 * Size]byte, src []byte, weights []int32) {
	var sums [3 * Size]int32
	for j := range sums {
		sums[j] = half
	}
	for t, w := range weights {
		for j, v := range src[t*rowStride:][:3*Size] {
			sums[j] += int32(v) * w
		}
	}
	for j, s := range sums {
		dst[j] = clip(s)
	}
}

// clip drops the fraction. Weights are positive but were rounded, so that 255 can become a little more.
func clip(sum int32) byte { return byte(min(sum>>precision, 255)) }
