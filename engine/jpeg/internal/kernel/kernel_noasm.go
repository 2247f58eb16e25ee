//go:build purego || !amd64

package kernel

func levels() []string { return []string{"generic"} }

func use(string) {}

func coefficients(block *[BlockRoom]int16, table *PairTable, data []byte, pos, k int) (int, int) {
	return coefficientsGeneric(block, table, data, pos, k)
}

func inverseDCT(dst []byte, stride int, block *Block, quant *[64]uint16) {
	inverseDCTGeneric(dst, stride, block, quant)
}

func ycbcrToRGB(dst, y, cb, cr []byte) { ycbcrToRGBGeneric(dst, y, cb, cr) }

func interleave(dst, r, g, b []byte) { interleaveGeneric(dst, r, g, b) }

func upsampleH2(dst, src []byte) { upsampleH2Generic(dst, src) }

func upsampleV2(dst, near, far []byte, bias int) { upsampleV2Generic(dst, near, far, bias) }

func upsampleH2V2(dst, near, far []byte) { upsampleH2V2Generic(dst, near, far) }
