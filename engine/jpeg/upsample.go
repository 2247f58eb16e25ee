package jpeg

// Upsampling is libjpeg's "fancy" one: a triangle filter where a component is halved in width, in height or in both,
// so that a new sample is 3/4 of the nearer old one plus 1/4 of the farther, rounded up and down in turns to have no
// bias. Other ratios repeat samples. Positions outside of the component's picture clamp to its edge.

// upsampleRow returns row y of the picture as samples of c, in buf or straight from the plane.
func (c *component) upsampleRow(buf []byte, y int) []byte {
	near := y / c.expandY
	row := c.row(near)
	smooth := c.width > 2 // libjpeg filters no narrower component horizontally
	switch {
	case c.expandX == 1 && c.expandY == 1:
		return row
	case c.expandX == 2 && c.expandY == 1 && smooth:
		upsampleH2(buf, row)
	case c.expandX == 1 && c.expandY == 2:
		upsampleV2(buf, row, c.row(far(y)), 1+y&1)
	case c.expandX == 2 && c.expandY == 2 && smooth:
		upsampleH2V2(buf, row, c.row(far(y)))
	default:
		for x, v := range row {
			for i := range c.expandX {
				buf[x*c.expandX+i] = v
			}
		}
	}
	return buf
}

// far is the row of a component of half height that is second nearest to row y of the picture.
func far(y int) int {
	if y&1 == 0 {
		return y/2 - 1
	}
	return y/2 + 1
}

// row returns row y of the plane, clamped to the picture.
func (c *component) row(y int) []byte {
	y = min(max(y, 0), c.height-1)
	return c.plane[y*c.stride:][:c.width]
}

// upsampleH2 doubles the width of a row of at least two samples.
func upsampleH2(dst, src []byte) {
	last := len(src) - 1
	dst = dst[:2*len(src)]
	dst[0] = src[0]
	dst[1] = byte((3*int(src[0]) + int(src[1]) + 2) >> 2)
	for i := 1; i < last; i++ {
		v := 3 * int(src[i])
		dst[2*i] = byte((v + int(src[i-1]) + 1) >> 2)
		dst[2*i+1] = byte((v + int(src[i+1]) + 2) >> 2)
	}
	dst[2*last] = byte((3*int(src[last]) + int(src[last-1]) + 1) >> 2)
	dst[2*last+1] = src[last]
}

// upsampleV2 makes a row between two rows: near is weighted 3, far 1. bias is 1 for the upper of the two rows that
// come from near, 2 for the lower.
func upsampleV2(dst, near, far []byte, bias int) {
	for i, v := range near {
		dst[i] = byte((3*int(v) + int(far[i]) + bias) >> 2)
	}
}

// upsampleH2V2 makes a row of double width between two rows of at least two samples: near is weighted 3, far 1.
func upsampleH2V2(dst, near, far []byte) {
	last := len(near) - 1
	dst, far = dst[:2*len(near)], far[:len(near)]
	sum := func(i int) int { return 3*int(near[i]) + int(far[i]) }
	before, here := sum(0), sum(0)
	for i := range last {
		after := sum(i + 1)
		dst[2*i] = byte((3*here + before + 8) >> 4)
		dst[2*i+1] = byte((3*here + after + 7) >> 4)
		before, here = here, after
	}
	dst[2*last] = byte((3*here + before + 8) >> 4)
	dst[2*last+1] = byte((4*here + 7) >> 4)
}
