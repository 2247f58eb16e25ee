//go:build !purego

package kernel8

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&avx2, &avxvnni, &avx512vnni} }

var (
	avx512vnni = wrap(cpu.AVX512VNNI, 64, packing{depth: 4}, tileVNNI, maxPoolAVX2)
	avxvnni    = wrap(cpu.AVXVNNI, 16, packing{depth: 4}, tileAVXVNNI, maxPoolAVX2)
	avx2       = with16Bits(wrap(cpu.AVX2, 8, packing{depth: 4}, tileAVX2, maxPoolAVX2))
)

// with16Bits adds what is for products of 16 bits, which cost AVX2 no more than those of bytes.
func with16Bits(s Set) Set {
	s.widen = func(wide, packed []int8) { widenAVX2(&wide[0], &packed[0], len(packed)) }
	products := []func(m *int32, ms int, v *int16, vs, k int, u *int16){
		product1AVX2, product2AVX2, product3AVX2, product4AVX2, product5AVX2, product6AVX2,
	}
	s.Winograd = &Winograd{
		Rows: len(products), Columns: 16,
		input: func(v []int16, vs int, x []uint8, rs, channels int) { inputAVX2(&v[0], vs, &x[0], rs, channels) },
		product: func(n int, m []int32, ms int, v []int16, vs, k int, u []int16) {
			products[n-1](&m[0], ms, &v[0], vs, k, &u[0])
		},
		output: func(y []uint8, rs, channels, rows, columns int, m []int32, ms int, mul, bias []float32, residual []uint8, residualMul float32) {
			outputAVX2(&y[0], rs, channels, rows, columns, &m[0], ms, &mul[0], &bias[0], first(residual), residualMul)
		},
	}
	return s
}
