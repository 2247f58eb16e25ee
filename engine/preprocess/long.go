package preprocess

// The weights of a picture's rows take memory in proportion to its width, and the rows between the passes in proportion
// to its height. That is little for pictures that cameras make; but a PNG may have 50 million pixels in one row or in one
// column, and mode Squash uses all of them. For such an axis, called long, each weight is computed when it is needed,
// and rows are added to the output rows that need them when they come. That takes more time and little memory.
const (
	longRow    = 1 << 17 // columns: 32 bytes of weights for each
	longColumn = 1 << 14 // rows: up to a kilobyte for each
	longRows   = 16      // that are resized at a time in a long column
)

// setLong computes the sum of the curve's heights for each output pixel.
func (a *axis) setLong() {
	s := &a.scale
	inverse := 1 / s.stretch
	a.sums = resize(a.sums, s.size)
	for i := range a.sums {
		center, from, end := s.span(i)
		sum := 0.0
		for x := from; x < end; x++ {
			sum += s.height(x, center, inverse)
		}
		a.sums[i] = sum
	}
}

// weight is the weight of output pixel i for the source pixel t pixels after the first that it is made of.
func (a *axis) weight(i, t int) int32 {
	center, from, _ := a.scale.span(i)
	return fixed(a.scale.height(from+t, center, 1/a.scale.stretch) / a.sums[i])
}

// resizeRows resizes rows along their length. src begins with pixel a.first of the first row; rows are srcStride bytes
// apart, and rowBytes of each may be read. The results' rows lie stride apart in dst.
func (a *axis) resizeRows(dst []byte, stride int, src []byte, srcStride, rows, rowBytes int) {
	if !a.long {
		alongRows(dst, stride, src, srcStride, rows, rowBytes, a)
		return
	}
	for y := range rows {
		to, row := dst[y*stride:], src[y*srcStride:][:rowBytes]
		for i, from := range a.from {
			r, g, b := int32(half), int32(half), int32(half)
			for t := range int(a.count[i]) {
				w, p := a.weight(i, t), row[3*(int(from)+t):]
				r += int32(p[0]) * w
				g += int32(p[1]) * w
				b += int32(p[2]) * w
			}
			to[3*i], to[3*i+1], to[3*i+2] = clip(r), clip(g), clip(b)
		}
	}
}

// blendLong takes rows from to end-1 of a picture whose columns are long. r.sums has the sums of all output rows; rows
// come from top to bottom, so that a sum begins with the first row that it needs.
func (r *Resizer) blendLong(pix []byte, stride, rowBytes, from, end int) {
	p := &r.plan
	n := 3 * p.spec.Crop
	r.sums = resize(r.sums, p.spec.Crop*n)
	for ; from < end; from += longRows {
		rows := min(longRows, end-from)
		p.x.resizeRows(r.rows, p.stride, pix, stride, rows, rowBytes)
		for y := range rows {
			row := r.rows[y*p.stride:][:n]
			for i, first := range p.y.from {
				t := from + y - p.y.first - int(first)
				if t < 0 || t >= int(p.y.count[i]) {
					continue
				}
				sums := r.sums[i*n:][:n]
				if t == 0 {
					for j := range sums {
						sums[j] = half
					}
				}
				w := p.y.weight(i, t)
				for j, v := range row {
					sums[j] += int32(v) * w
				}
			}
		}
		if from+rows < end {
			pix = pix[rows*stride:]
		}
	}
}

// clipAll drops the fractions of sums.
func clipAll(dst []byte, sums []int32) {
	for j := range dst {
		dst[j] = clip(sums[j])
	}
}
