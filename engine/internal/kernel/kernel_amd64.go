//go:build !purego

package kernel

import (
	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&avx2, &avx512} }

var avx512 = wrap(cpu.AVX512, 14, 32, multiply(32, []tilesFunc{
	tiles1AVX512, tiles2AVX512, tiles3AVX512, tiles4AVX512, tiles5AVX512, tiles6AVX512, tiles7AVX512,
	tiles8AVX512, tiles9AVX512, tiles10AVX512, tiles11AVX512, tiles12AVX512, tiles13AVX512, tiles14AVX512,
}), [algorithms]inputFunc{input2AVX512, input4AVX512, input4x2AVX512, inputStride2AVX512},
	[algorithms]outputFunc{output2AVX512, output4AVX512, output4x2AVX512, outputStride2AVX512}, maxPoolAVX512, stemInputAVX2, stemOutputAVX512)

var avx2 = with20(withGrid(wrap(cpu.AVX2, 6, 16, multiply(16, []tilesFunc{
	tiles1AVX2, tiles2AVX2, tiles3AVX2, tiles4AVX2, tiles5AVX2, tiles6AVX2,
}), [algorithms]inputFunc{input2AVX2, input4AVX2, input4x2AVX2, inputStride2AVX2,
	input2LowAVX2, input2NarrowAVX2, input2SmallAVX2, input4LowAVX2, input4NarrowAVX2, input4SmallAVX2,
	inputStride2LowAVX2, inputStride2NarrowAVX2, inputStride2SmallAVX2},
	[algorithms]outputFunc{output2AVX2, output4AVX2, output4x2AVX2, outputStride2AVX2,
		output2LowAVX2, output2NarrowAVX2, output2SmallAVX2, output4LowAVX2, output4NarrowAVX2, output4SmallAVX2,
		outputStride2LowAVX2, outputStride2NarrowAVX2, outputStride2SmallAVX2},
	maxPoolAVX2, stemInputAVX2, stemOutputAVX2), gridColumnsAVX2, [...]func(m, v, u *float32){gridMultiply5AVX2, gridMultiply6AVX2}, gridOutputAVX2),
	[]wordsFunc{words1AVX2, words2AVX2, words3AVX2, words4AVX2, words5AVX2, words6AVX2})

// withGrid adds the stem in two dimensions. multiply is for the fewest tiles of a group and for one more.
func withGrid(s Set, columns func(v, x *float32, rs, tiles int), multiply [2]func(m, v, u *float32),
	output func(y0, y1, y2, y3, m, bias *float32, tiles int)) Set {
	s.gridColumns = func(v, x []float32, rs, tiles int) { columns(&v[0], &x[0], rs, tiles) }
	s.gridMultiply = func(m, v, u []float32, tiles int) { multiply[tiles-GridTiles+1](&m[0], &v[0], &u[0]) }
	s.gridOutput = func(y [StemOutputs][]float32, m, bias []float32, tiles int) {
		output(&y[0][0], &y[1][0], &y[2][0], &y[3][0], &m[0], &bias[0], tiles)
	}
	return s
}

type tilesFunc func(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int, ahead *float32, panels, tall, low int)

// multiply is a multiplyFunc of functions for blocks of tiles of nr columns, by the height of a tile.
func multiply(nr int, functions []tilesFunc) multiplyFunc {
	return func(rows tiles.Rows, p Product) {
		functions[rows.N-1](&p.C[0], p.LDC, &p.A[0], p.LDA, p.RowStride, p.Rows, p.K, &p.B[0], &p.Bias[0], first(p.Residual), flag(p.ReLU),
			&p.Ahead[0], p.N/nr, rows.Tall, rows.Low)
	}
}

type wordsFunc func(c *float32, cs int, a *float32, as, turns, rest int, b, ahead *uint32, panel, panels, tall, low int)

// with20 adds products with weights of 20 bits, by the height of a tile.
func with20(s Set, functions []wordsFunc) Set {
	s.multiply20 = func(rows tiles.Rows, p Product20) {
		functions[rows.N-1](&p.C[0], p.LDC, &p.A[0], p.LDA, p.K/depth20, p.K%depth20, &p.B[0], &p.Ahead[0], 4*Len20(p.K, s.NR),
			p.N/s.NR, rows.Tall, rows.Low)
	}
	return s
}
