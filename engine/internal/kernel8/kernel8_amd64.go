//go:build !purego

package kernel8

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&avx2, &avxvnni, &avx512vnni} }

type tileFunc func(dst, src *uint8, w *int8, rows, steps, rowStride, pixelStride, dstStride int,
	mul, bias *float32, biasStride int, residual *uint8, residualMul float32)

var (
	avx512vnni = Set{Level: cpu.AVX512VNNI, Channels: 64, tile: wrap(tileVNNI), maxPool: maxPoolSlices}
	avxvnni    = Set{Level: cpu.AVXVNNI, Channels: 16, tile: wrap(tileAVXVNNI), maxPool: maxPoolSlices}
	avx2       = Set{Level: cpu.AVX2, Channels: 8, wide: true, tile: wrap(tileAVX2), maxPool: maxPoolSlices}
)

// wrap gives an assembly function the signature of the Go one.
func wrap(f tileFunc) func(dst, src []uint8, w []int8, g Geometry, mul, bias []float32, residual []uint8, residualMul float32) {
	return func(dst, src []uint8, w []int8, g Geometry, mul, bias []float32, residual []uint8, residualMul float32) {
		var first *uint8
		if residual != nil {
			first = &residual[0]
		}
		f(&dst[0], &src[0], &w[0], g.Rows, g.Steps, g.RowStride, g.PixelStride, g.DstStride, &mul[0], &bias[0], g.BiasStride,
			first, residualMul)
	}
}

func maxPoolSlices(y, r0, r1, r2 []uint8, columns int) {
	maxPoolAVX2(&y[0], &r0[0], &r1[0], &r2[0], columns)
}
