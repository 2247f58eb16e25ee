//go:build !purego

package kernel8

import (
	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
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
	residual *uint8, residualMul float32, lines, tiles, srcLine, dstLine int)) convolveFunc {
	return func(c Convolution, tiles int) {
		f(&c.Dst[0], &c.Src[0], &c.W[0], c.Rows, c.Steps, c.RowStride, c.PixelStride, c.DstStride, &c.Mul[0], &c.Bias[0], c.BiasStride,
			first(c.Residual), c.ResidualMul, c.Lines, tiles, c.SrcLine, c.DstLine)
	}
}

// with16Bits adds what is for products of 16 bits, which cost AVX2 no more than those of bytes, and for the stem in float32.
func with16Bits(s Set) Set {
	s.widen = func(wide, packed []int8) { widenAVX2(&wide[0], &packed[0], len(packed)) }
	s.round = func(y []uint8, x []float32) { roundAVX2(&y[0], &x[0], len(x)) }
	products := []func(m *int32, ms int, v *int16, vs, k int, u *int16, panels, tall, low int){
		products1AVX2, products2AVX2, products3AVX2, products4AVX2, products5AVX2, products6AVX2,
	}
	multiply := func(rows tiles.Rows, p Product) {
		products[rows.N-1](&p.C[0], p.LDC, &p.A[0], p.LDA, p.K, &p.B[0], p.N/16, rows.Tall, rows.Low)
	}
	of := func(a *kernel.Winograd, input func(v *int16, vs int, x *uint8, rs, channels int), output func(y *uint8, rs, channels, rows,
		columns int, m *int32, ms int, mul, bias *float32, residual *uint8, residualMul float32)) *Winograd {
		return &Winograd{
			Winograd: a, MR: len(products), NR: 16, multiply: multiply,
			input: func(v []int16, vs int, x []uint8, rs, channels int) { input(&v[0], vs, &x[0], rs, channels) },
			output: func(o Outputs) {
				output(&o.Y[0], o.RowStride, o.Channels, o.Rows, o.Columns, &o.Sums[0], o.SumStride, &o.Mul[0], &o.Bias[0],
					first(o.Residual), o.ResidualMul)
			},
		}
	}
	s.F4, s.F2 = of(kernel.F4, input4AVX2, output4AVX2), of(kernel.F2, input2AVX2, output2AVX2)
	s.Stride2 = of(kernel.Stride2, inputStride2AVX2, outputStride2AVX2)
	return s
}
