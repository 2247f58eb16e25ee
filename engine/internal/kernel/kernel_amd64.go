//go:build !purego

package kernel

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&avx2, &avx512} }

type (
	tileFunc   func(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int)
	inputFunc  func(v *float32, vs int, x *float32, rs, channels int)
	outputFunc func(y *float32, rs, channels, rows, columns int, m *float32, ms int, bias, residual *float32, relu int)
	poolFunc   func(y, r0, r1, r2 *float32, columns, channels int)
)

var avx512 = wrap(cpu.AVX512, 32, []tileFunc{
	tile1AVX512, tile2AVX512, tile3AVX512, tile4AVX512, tile5AVX512, tile6AVX512, tile7AVX512,
	tile8AVX512, tile9AVX512, tile10AVX512, tile11AVX512, tile12AVX512, tile13AVX512, tile14AVX512,
}, [2]inputFunc{input2AVX512, input4AVX512}, [2]outputFunc{output2AVX512, output4AVX512}, maxPoolAVX512)

var avx2 = wrap(cpu.AVX2, 16, []tileFunc{
	tile1AVX2, tile2AVX2, tile3AVX2, tile4AVX2, tile5AVX2, tile6AVX2,
}, [2]inputFunc{input2AVX2, input4AVX2}, [2]outputFunc{output2AVX2, output4AVX2}, maxPoolAVX2)

// wrap gives assembly functions the signatures of the Go ones.
func wrap(level cpu.Level, columns int, tiles []tileFunc, inputs [2]inputFunc, outputs [2]outputFunc, pool poolFunc) Set {
	s := Set{Level: level, Rows: len(tiles), Columns: columns}
	s.tile = func(n int, c []float32, cs int, a []float32, as, rs, rows, k int, b, bias, residual []float32, relu bool) {
		tiles[n-1](&c[0], cs, &a[0], as, rs, rows, k, &b[0], &bias[0], first(residual), flag(relu))
	}
	for i := range inputs {
		s.input[i] = func(v []float32, vs int, x []float32, rs, channels int) {
			inputs[i](&v[0], vs, &x[0], rs, channels)
		}
		s.output[i] = func(y []float32, rs, channels, rows, columns int, m []float32, ms int, bias, residual []float32, relu bool) {
			outputs[i](&y[0], rs, channels, rows, columns, &m[0], ms, &bias[0], first(residual), flag(relu))
		}
	}
	s.maxPool = func(y, r0, r1, r2 []float32, columns, channels int) {
		pool(&y[0], &r0[0], &r1[0], &r2[0], columns, channels)
	}
	return s
}

// first is where a slice begins; nil for a nil slice.
func first(s []float32) *float32 {
	if s == nil {
		return nil
	}
	return &s[0]
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
