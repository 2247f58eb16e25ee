//go:build !purego

package kernel8

import (
	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&avx2, &avxvnni, &avx512vnni} }

var (
	avx512vnni = wrap(cpu.AVX512VNNI, 64, packing{depth: 4}, inAssembly(tilesVNNI), maxPoolAVX2)
	avxvnni    = wrap(cpu.AVXVNNI, 16, packing{depth: 4}, inAssembly(tilesAVXVNNI), maxPoolAVX2)
	avx2       = with16Bits(wrap(cpu.AVX2, 8, packing{depth: 4}, inAssembly(tilesAVX2), maxPoolAVX2))
)

// inAssembly gives a function in assembly the signature of the Go ones.
func inAssembly(f func(dst, src *uint8, w *int8, rows, steps, rowStride, pixelStride, dstStride int, mul, bias *float32, biasStride int,
	residual *uint8, residualMul float32, lines, tiles, srcLine, dstLine int)) tilesFunc {
	return func(lines int, dst, src []uint8, w []int8, g Geometry, mul, bias []float32, residual []uint8, residualMul float32) {
		f(&dst[0], &src[0], &w[0], g.Rows, g.Steps, g.RowStride, g.PixelStride, g.DstStride, &mul[0], &bias[0], g.BiasStride,
			first(residual), residualMul, lines, g.Tiles, g.SrcLine, g.DstLine)
	}
}

// with16Bits adds what is for products of 16 bits, which cost AVX2 no more than those of bytes.
func with16Bits(s Set) Set {
	s.widen = func(wide, packed []int8) { widenAVX2(&wide[0], &packed[0], len(packed)) }
	products := []func(m *int32, ms int, v *int16, vs, k int, u *int16, panels, tall, low int){
		products1AVX2, products2AVX2, products3AVX2, products4AVX2, products5AVX2, products6AVX2,
	}
	s.Winograd = &Winograd{
		Rows: len(products), Columns: 16,
		input: func(v []int16, vs int, x []uint8, rs, channels int) { inputAVX2(&v[0], vs, &x[0], rs, channels) },
		products: func(n tiles.Rows, panels int, m []int32, ms int, v []int16, vs, k int, u []int16) {
			products[n.N-1](&m[0], ms, &v[0], vs, k, &u[0], panels, n.Tall, n.Low)
		},
		output: func(y []uint8, rs, channels, rows, columns int, m []int32, ms int, mul, bias []float32, residual []uint8, residualMul float32) {
			outputAVX2(&y[0], rs, channels, rows, columns, &m[0], ms, &mul[0], &bias[0], first(residual), residualMul)
		},
	}
	return s
}
