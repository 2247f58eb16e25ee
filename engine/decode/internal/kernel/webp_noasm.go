//go:build purego || !amd64

package kernel

func yuvToRGB(dst, y, u, v []byte) { yuvToRGBGeneric(dst, y, u, v) }

func upsample(dst, near, far []byte) { upsampleGeneric(dst, near, far) }

func filterLuma(pix []byte, at, stride int, s *Strength, left, top bool) {
	filterLumaGeneric(pix, at, stride, s, left, top)
}

func filterChroma(u, v []byte, at, stride int, s *Strength, left, top bool) {
	filterChromaGeneric(u, v, at, stride, s, left, top)
}

func filterSimple(pix []byte, at, stride int, s *Strength, left, top bool) {
	filterSimpleBlockGeneric(pix, at, stride, s, left, top)
}

func transform(samples *[3*Stride + 4]byte, coefs *Block) { transformGeneric(samples, coefs) }

func trueMotion(samples []byte, size int) { trueMotionGeneric(samples, size) }

func readBlock(b *Bools, dst *Block, probs *PositionProbs, context, first int, f *Factors) int {
	return readBlockGeneric(b, dst, probs, context, first, f)
}

func addGreen(dst, src []uint32, n int) { addGreenGeneric(dst, src, n) }

func addColors(dst, src, factors []uint32, bits uint, n int) {
	addColorsGeneric(dst, src, factors, bits, n)
}

func predict(mode int, dst, src, above []uint32, from, end int) {
	predictGeneric(mode, dst, src, above, from, end)
}
