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
	residual *uint8, residualMul float32)) convolveFunc {
	return tilesOf(func(c Convolution) {
		tile(&c.Dst[0], &c.Src[0], &c.W[0], c.Rows, c.Steps, c.RowStride, c.PixelStride, c.DstStride, &c.Mul[0], &c.Bias[0], c.BiasStride,
			first(c.Residual), c.ResidualMul)
	})
}
