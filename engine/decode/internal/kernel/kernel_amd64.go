//go:build !purego

package kernel

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

const simdLevel = cpu.AVX2

var hasSIMD = slices.Contains(cpu.Levels(), simdLevel)

// Rows too short for vectors go to plain Go. The rest of a row after whole vectors is covered by a last vector that overlaps
// the previous one.

func yuvToRGB(dst, y, u, v []byte) {
	n := len(y)
	if !simd || n < 32 {
		yuvToRGBGeneric(dst, y, u, v)
		return
	}
	yuvToRGBVector(&dst[0], &y[0], &u[0], &v[0], n&^31)
	if n&31 != 0 {
		i := n - 32
		yuvToRGBVector(&dst[3*i], &y[i], &u[i], &v[i], 32)
	}
}

func upsample(dst, near, far []byte) {
	n := len(near) - 1
	if !simd || n < 16 {
		upsampleGeneric(dst, near, far)
		return
	}
	upsampleVector(&dst[0], &near[0], &far[0], n&^15)
	if n&15 != 0 {
		i := n - 16
		upsampleVector(&dst[2*i], &near[i], &far[i], 16)
	}
}
