//go:build !purego

package kernel

import (
	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/tiles"
)

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&avx2, &avx512} }

var avx512 = wrap(cpu.AVX512, 14, 32, multiply([]tilesFunc{
	tiles1AVX512, tiles2AVX512, tiles3AVX512, tiles4AVX512, tiles5AVX512, tiles6AVX512, tiles7AVX512,
	tiles8AVX512, tiles9AVX512, tiles10AVX512, tiles11AVX512, tiles12AVX512, tiles13AVX512, tiles14AVX512,
}), [algorithms]inputFunc{input2AVX512, input4AVX512, input4x2AVX512, inputStride2AVX512},
	[algorithms]outputFunc{output2AVX512, output4AVX512, output4x2AVX512, outputStride2AVX512}, maxPoolAVX512, stemInputAVX2, stemOutputAVX512)

var avx2 = wrap(cpu.AVX2, 6, 16, multiply([]tilesFunc{
	tiles1AVX2, tiles2AVX2, tiles3AVX2, tiles4AVX2, tiles5AVX2, tiles6AVX2,
}), [algorithms]inputFunc{input2AVX2, input4AVX2, input4x2AVX2, inputStride2AVX2},
	[algorithms]outputFunc{output2AVX2, output4AVX2, output4x2AVX2, outputStride2AVX2}, maxPoolAVX2, stemInputAVX2, stemOutputAVX2)

type tilesFunc func(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int, ahead *float32, panels, tall, low int)

// multiply has functions for blocks of tiles, by their height.
func multiply(functions []tilesFunc) multiplyFunc {
	return func(m tiles.Rows, panels int, c []float32, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool, ahead []float32) {
		functions[m.N-1](&c[0], cs, &a[0], as, rs, rows, k, &b[0], &bias[0], first(residual), flag(relu), &ahead[0], panels, m.Tall, m.Low)
	}
}
