//go:build purego || !(amd64 || arm64)

package kernel

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

const (
	hasSIMD   = false
	simdLevel = cpu.Generic
)

func (r *Reader) next(k int) int { return r.nextGeneric(k) }

func inverseDCT(dst []byte, stride int, block *Block, quant *[64]uint16) {
	inverseDCTGeneric(dst, stride, block, quant)
}

func ycbcrToRGB(dst, y, cb, cr []byte) { ycbcrToRGBGeneric(dst, y, cb, cr) }

func interleave(dst, r, g, b []byte) { interleaveGeneric(dst, r, g, b) }

func upsampleH2(dst, src []byte) { upsampleH2Generic(dst, src) }

func upsampleV2(dst, near, far []byte, bias int) { upsampleV2Generic(dst, near, far, bias) }

func upsampleH2V2(dst, near, far []byte) { upsampleH2V2Generic(dst, near, far) }
