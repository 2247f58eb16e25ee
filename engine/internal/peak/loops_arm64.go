//go:build !purego

package peak

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

var (
	fp32  = []leveled{{cpu.NEON, Loop{fmaNEON, 28 * 4}}}
	int8s = []leveled{{cpu.DotProd, Loop{dotNEON, 28 * 16}}, {cpu.I8MM, Loop{matrixNEON, 28 * 32}}}
	bf16s = []leveled{{cpu.BF16, Loop{bf16NEON, 28 * 16}}}
)
