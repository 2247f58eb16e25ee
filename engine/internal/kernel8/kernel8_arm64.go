//go:build !purego

package kernel8

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&neon, &dotProd, &i8mm} }

var (
	i8mm    = wrap(cpu.I8MM, 8, packing{depth: 8}, inAssembly(tileI8MM), maxPoolNEON)
	dotProd = wrap(cpu.DotProd, 8, packing{depth: 4, shifted: true}, inAssembly(tileDotProd), maxPoolNEON)
	neon    = wrap(cpu.NEON, 4, packing{depth: 16, shifted: true}, inAssembly(tileNEON), maxPoolNEON)
)

// inAssembly gives a tile in assembly the signature of the Go functions.
func inAssembly(tile func(dst, src *uint8, w *int8, rows, steps, rowStride, pixelStride, dstStride int, mul, bias *float32, biasStride int,
	residual *uint8, residualMul float32)) tilesFunc {
	return tilesOf(func(dst, src []uint8, w []int8, g Geometry, mul, bias []float32, residual []uint8, residualMul float32) {
		tile(&dst[0], &src[0], &w[0], g.Rows, g.Steps, g.RowStride, g.PixelStride, g.DstStride, &mul[0], &bias[0], g.BiasStride,
			first(residual), residualMul)
	})
}
