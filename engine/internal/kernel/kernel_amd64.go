//go:build !purego

package kernel

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&avx2, &avx512} }

var avx512 = wrap(cpu.AVX512, 32, []tileFunc{
	tile1AVX512, tile2AVX512, tile3AVX512, tile4AVX512, tile5AVX512, tile6AVX512, tile7AVX512,
	tile8AVX512, tile9AVX512, tile10AVX512, tile11AVX512, tile12AVX512, tile13AVX512, tile14AVX512,
}, [algorithms]inputFunc{input2AVX512, input4AVX512, input4x2AVX512, inputStride2AVX512},
	[algorithms]outputFunc{output2AVX512, output4AVX512, output4x2AVX512, outputStride2AVX512}, maxPoolAVX512)

var avx2 = wrap(cpu.AVX2, 16, []tileFunc{
	tile1AVX2, tile2AVX2, tile3AVX2, tile4AVX2, tile5AVX2, tile6AVX2,
}, [algorithms]inputFunc{input2AVX2, input4AVX2, input4x2AVX2, inputStride2AVX2},
	[algorithms]outputFunc{output2AVX2, output4AVX2, output4x2AVX2, outputStride2AVX2}, maxPoolAVX2)
