//go:build purego || !(amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"math/bits"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

const (
	hasSIMD   = false
	simdLevel = cpu.Generic
)

func (l *Layout) rgb(dst, pixels []byte) { l.rgbGeneric(dst, pixels) }

// rgb writes four bytes at a time, the last of which the next pixel overwrites.
func rgb(dst []byte, pix []uint32) {
	for ; len(dst) >= 4 && len(pix) > 0; dst, pix = dst[3:], pix[1:] {
		binary.LittleEndian.PutUint32(dst, bits.ReverseBytes32(pix[0])>>8)
	}
	for ; len(pix) > 0; dst, pix = dst[3:], pix[1:] {
		dst[0], dst[1], dst[2] = byte(pix[0]>>16), byte(pix[0]>>8), byte(pix[0])
	}
}
