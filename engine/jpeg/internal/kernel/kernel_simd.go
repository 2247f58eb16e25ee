//go:build !purego && (amd64 || arm64)

package kernel

// Rows too short for vectors go to plain Go. The rest of a row after whole vectors is covered by a last vector
// that overlaps the previous one.

func inverseDCT(dst []byte, stride int, block *Block, quant *[64]uint16) {
	if !simd {
		inverseDCTGeneric(dst, stride, block, quant)
		return
	}
	inverseDCTVector(&dst[0], stride, &block[0], &quant[0])
}

func ycbcrToRGB(dst, y, cb, cr []byte) {
	n := len(y)
	if !simd || n < 32 {
		ycbcrToRGBGeneric(dst, y, cb, cr)
		return
	}
	ycbcrToRGBVector(&dst[0], &y[0], &cb[0], &cr[0], n&^31)
	if n&31 != 0 {
		i := n - 32
		ycbcrToRGBVector(&dst[3*i], &y[i], &cb[i], &cr[i], 32)
	}
}

func interleave(dst, r, g, b []byte) {
	n := len(r)
	if !simd || n < 32 {
		interleaveGeneric(dst, r, g, b)
		return
	}
	interleaveVector(&dst[0], &r[0], &g[0], &b[0], n&^31)
	if n&31 != 0 {
		i := n - 32
		interleaveVector(&dst[3*i], &r[i], &g[i], &b[i], 32)
	}
}

func upsampleH2(dst, src []byte) {
	inner := len(src) - 2
	if !simd || inner < 32 {
		upsampleH2Generic(dst, src)
		return
	}
	upsampleH2Vector(&dst[2], &src[1], inner&^31)
	if inner&31 != 0 {
		i := 1 + inner - 32
		upsampleH2Vector(&dst[2*i], &src[i], 32)
	}
	last := len(src) - 1
	dst[0] = src[0]
	dst[1] = byte((3*int(src[0]) + int(src[1]) + 2) >> 2)
	dst[2*last] = byte((3*int(src[last]) + int(src[last-1]) + 1) >> 2)
	dst[2*last+1] = src[last]
}

func upsampleV2(dst, near, far []byte, bias int) {
	n := len(near)
	if !simd || n < 32 {
		upsampleV2Generic(dst, near, far, bias)
		return
	}
	upsampleV2Vector(&dst[0], &near[0], &far[0], n&^31, bias)
	if n&31 != 0 {
		i := n - 32
		upsampleV2Vector(&dst[i], &near[i], &far[i], 32, bias)
	}
}

func upsampleH2V2(dst, near, far []byte) {
	inner := len(near) - 2
	if !simd || inner < 16 {
		upsampleH2V2Generic(dst, near, far)
		return
	}
	upsampleH2V2Vector(&dst[2], &near[1], &far[1], inner&^15)
	if inner&15 != 0 {
		i := 1 + inner - 16
		upsampleH2V2Vector(&dst[2*i], &near[i], &far[i], 16)
	}
	sum := func(i int) int { return 3*int(near[i]) + int(far[i]) }
	last := len(near) - 1
	dst[0] = byte((4*sum(0) + 8) >> 4)
	dst[1] = byte((3*sum(0) + sum(1) + 7) >> 4)
	dst[2*last] = byte((3*sum(last) + sum(last-1) + 8) >> 4)
	dst[2*last+1] = byte((4*sum(last) + 7) >> 4)
}
