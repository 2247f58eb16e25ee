//go:build !purego

package kernel8

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&avx2, &avxvnni, &avx512vnni} }

var (
	avx512vnni = wrap(cpu.AVX512VNNI, 64, packing{depth: 4}, tileVNNI, maxPoolAVX2)
	avxvnni    = wrap(cpu.AVXVNNI, 16, packing{depth: 4}, tileAVXVNNI, maxPoolAVX2)
	avx2       = wrap(cpu.AVX2, 8, packing{depth: 4, wide: true}, tileAVX2, maxPoolAVX2)
)
