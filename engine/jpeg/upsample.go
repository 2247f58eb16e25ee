package jpeg

import "github.com/resnet18cloud/resnet18cloud/engine/jpeg/internal/kernel"

// Upsampling is libjpeg's "fancy" one: a triangle filter where a component is halved in width, in height or in both,
// so that a new sample is 3/4 of the nearer old one plus 1/4 of the farther, rounded up and down alternately to avoid
// bias. Other ratios repeat samples. Positions outside of the component's picture clamp to its edge.

// upsampleRow returns row y of the picture as samples of c, in buf or straight from the plane. It is right where the
// window is.
func (c *component) upsampleRow(buf []byte, y int) []byte {
	from := c.needSamples.Min.X
	near, out := c.row(y/c.expandY), buf[from*c.expandX:]
	smooth := c.width > 2 // libjpeg does not filter narrower components horizontally
	switch {
	case c.expandX == 1 && c.expandY == 1:
		return c.plane[y%c.kept*c.stride:][:c.stride]
	case c.expandX == 2 && c.expandY == 1 && smooth:
		kernel.UpsampleH2(out, near)
	case c.expandX == 1 && c.expandY == 2:
		kernel.UpsampleV2(out, near, c.row(far(y)), 1+y&1)
	case c.expandX == 2 && c.expandY == 2 && smooth:
		kernel.UpsampleH2V2(out, near, c.row(far(y)))
	default:
		for x, v := range near {
			for i := range c.expandX {
				out[x*c.expandX+i] = v
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

// row returns what the window needs of row y of the plane, clamped to the picture. A filter treats a cut end
// like the edge of the picture; the pixels that this affects are outside of the window.
func (c *component) row(y int) []byte {
	y = min(max(y, 0), c.height-1)
	return c.plane[y%c.kept*c.stride:][c.needSamples.Min.X:c.needSamples.Max.X]
}
