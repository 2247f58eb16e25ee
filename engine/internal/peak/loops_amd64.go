//go:build !purego

package peak

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

var (
	fp32  = []leveled{{cpu.AVX2, Loop{fmaAVX2, 12 * 8}}, {cpu.AVX512, Loop{fmaAVX512, 28 * 16}}}
	bf16s []leveled
	int8s = []leveled{{cpu.AVX2, Loop{dotAVX2, 12 * 16}}, {cpu.AVXVNNI, Loop{dotAVXVNNI, 12 * 32}}, {cpu.AVX512VNNI, Loop{dotAVX512VNNI, 28 * 64}}}
)
