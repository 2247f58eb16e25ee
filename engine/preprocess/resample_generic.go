package preprocess

// half rounds a fixed-point sum to the nearest integer when the fraction is cut off.
const half = 1 << (precision - 1)

// alongRows resizes rows along their length: output pixel i of each row is the weighted mean of the source
// pixels that x names. src begins with pixel x.first of the first row, and rows are stride bytes
// apart; the results' rows lie rowStride apart in dst.
func alongRows(dst, src []byte, stride, rows int, x *axis) {
	for y := range rows {
		row, out := src[y*stride:], dst[y*rowStride:]
		for i := range Size {
			r, g, b := int32(half), int32(half), int32(half)
			weights := x.weights[i*x.taps:][:x.count[i]]
			p := row[3*x.from[i]:][:3*len(weights)]
			for t, w := range weights {
				r += int32(p[3*t]) * w
				g += int32(p[3*t+1]) * w
				b += int32(p[3*t+2]) * w
			}
			out[3*i], out[3*i+1], out[3*i+2] = clip(r), clip(g), clip(b)
		}
	}
}

// alongColumns resizes along columns: each byte of output row i is the weighted mean of the bytes above each
// other in the rows that y names.
func alongColumns(dst *Input, rows []byte, y *axis) {
	for i := range Size {
		var sums [3 * Size]int32
		for j := range sums {
			sums[j] = half
		}
		for t, w := range y.weights[i*y.taps:][:y.count[i]] {
			row := rows[(int(y.from[i])+t)*rowStride:][:3*Size]
			for j, v := range row {
				sums[j] += int32(v) * w
			}
		}
		out := dst[i*3*Size:][:3*Size]
		for j, s := range sums {
			out[j] = clip(s)
		}
	}
}

// clip drops the fraction. Weights are positive but were rounded, so that 255 can become a little more.
func clip(sum int32) byte { return byte(min(sum>>precision, 255)) }
