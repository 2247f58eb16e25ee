//go:build !purego && (amd64 || arm64)

package kernel8

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

type (
	tileFunc func(dst, src *uint8, w *int8, rows, steps, rowStride, pixelStride, dstStride int,
		mul, bias *float32, biasStride int, residual *uint8, residualMul float32)
	poolFunc func(y, r0, r1, r2 *uint8, columns int)
)

// wrap gives assembly functions the signatures of the Go ones.
func wrap(level cpu.Level, channels int, packing packing, tile tileFunc, pool poolFunc) Set {
	return Set{Level: level, Channels: channels, packing: packing,
		tile: func(dst, src []uint8, w []int8, g Geometry, mul, bias []float32, residual []uint8, residualMul float32) {
			tile(&dst[0], &src[0], &w[0], g.Rows, g.Steps, g.RowStride, g.PixelStride, g.DstStride, &mul[0], &bias[0],
				g.BiasStride, first(residual), residualMul)
		},
		maxPool: func(y, r0, r1, r2 []uint8, columns int) { pool(&y[0], &r0[0], &r1[0], &r2[0], columns) },
	}
}

// first is where a slice begins; nil for a nil slice.
func first(s []uint8) *uint8 {
	if s == nil {
		return nil
	}
	return &s[0]
}
