package kernel

// Channels are added and averaged four at a time. Without their highest bits no sum overflows into the next channel.
const low7 = 0x7F7F7F7F

func mean(p, q uint32) uint32 { return p&q + (p^q)>>1&low7 }

func addGreenGeneric(dst, src []uint32, n int) {
	dst = dst[:n]
	for i, p := range src[:len(dst)] {
		green := p >> 8 & 0xFF
		dst[i] = Add(p, green<<16|green)
	}
}

func addColorsGeneric(dst, src, factors []uint32, bits uint, n int) {
	for x := 0; x < n; x += 1 << bits {
		f := factors[x>>bits]
		greenToRed, greenToBlue, redToBlue := int32(int8(f)), int32(int8(f>>8)), int32(int8(f>>16))
		part := dst[x:min(x+1<<bits, n)]
		for i, p := range src[x:][:len(part)] {
			green := int32(int8(p >> 8))
			red := p>>16 + uint32(greenToRed*green>>5)
			blue := p + uint32(greenToBlue*green>>5) + uint32(redToBlue*int32(int8(red))>>5)
			part[i] = p&0xFF00FF00 | red&0xFF<<16 | blue&0xFF
		}
	}
}

// predictGeneric has its modes in the order of their numbers. Others than these predict black.
func predictGeneric(mode int, dst, src, above []uint32, from, end int) {
	left, topLeft := dst[from-1], above[from-1]
	dst = dst[from:end]
	src, top, right := src[from:][:len(dst)], above[from:][:len(dst)], above[from+1:][:len(dst)] // right is above and to the right
	switch mode {
	case Left:
		for i, p := range src {
			left = Add(p, left)
			dst[i] = left
		}
	case 2:
		for i, p := range src {
			dst[i] = Add(p, top[i])
		}
	case 3:
		for i, p := range src {
			dst[i] = Add(p, right[i])
		}
	case 4:
		for i, p := range src {
			dst[i] = Add(p, topLeft)
			topLeft = top[i]
		}
	case 5:
		for i, p := range src {
			left = Add(p, mean(mean(left, right[i]), top[i]))
			dst[i] = left
		}
	case 6:
		for i, p := range src {
			left = Add(p, mean(left, topLeft))
			dst[i], topLeft = left, top[i]
		}
	case 7:
		for i, p := range src {
			left = Add(p, mean(left, top[i]))
			dst[i] = left
		}
	case 8:
		for i, p := range src {
			dst[i] = Add(p, mean(topLeft, top[i]))
			topLeft = top[i]
		}
	case 9:
		for i, p := range src {
			dst[i] = Add(p, mean(top[i], right[i]))
		}
	case 10:
		for i, p := range src {
			left = Add(p, mean(mean(left, topLeft), mean(top[i], right[i])))
			dst[i], topLeft = left, top[i]
		}
	case 11:
		for i, p := range src {
			left = Add(p, nearest(left, top[i], topLeft))
			dst[i], topLeft = left, top[i]
		}
	case 12:
		for i, p := range src {
			left = Add(p, gradient(left, top[i], topLeft))
			dst[i], topLeft = left, top[i]
		}
	case 13:
		for i, p := range src {
			left = Add(p, halfGradient(mean(left, top[i]), topLeft))
			dst[i], topLeft = left, top[i]
		}
	default:
		for i, p := range src {
			dst[i] = Add(p, 0xFF<<24)
		}
	}
}

// nearest returns left or top, whichever has the smaller distance to left+top-topLeft over all channels; top if they are equal.
func nearest(left, top, topLeft uint32) uint32 {
	toLeft, toTop := int32(0), int32(0)
	for shift := 0; shift < 32; shift += 8 {
		c := int32(topLeft >> shift & 0xFF)
		dt, dl := int32(top>>shift&0xFF)-c, int32(left>>shift&0xFF)-c
		toLeft += max(dt, -dt)
		toTop += max(dl, -dl)
	}
	if toLeft < toTop {
		return left
	}
	return top
}

// gradient returns left+top-topLeft, each channel clipped.
func gradient(left, top, topLeft uint32) (p uint32) {
	for shift := 0; shift < 32; shift += 8 {
		v := int32(left>>shift&0xFF) + int32(top>>shift&0xFF) - int32(topLeft>>shift&0xFF)
		p |= uint32(min(max(v, 0), 255)) << shift
	}
	return p
}

// halfGradient returns average+(average-topLeft)/2, each channel clipped.
func halfGradient(average, topLeft uint32) (p uint32) {
	for shift := 0; shift < 32; shift += 8 {
		a := int32(average >> shift & 0xFF)
		v := a + (a-int32(topLeft>>shift&0xFF))/2
		p |= uint32(min(max(v, 0), 255)) << shift
	}
	return p
}
