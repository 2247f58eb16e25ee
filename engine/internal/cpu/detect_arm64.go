//go:build !purego

package cpu

import "golang.org/x/sys/cpu"

func detect() []Level {
	levels := []Level{NEON}
	if cpu.ARM64.HasASIMDDP {
		levels = append(levels, DotProd)
		if cpu.ARM64.HasI8MM {
			levels = append(levels, I8MM)
			if hasBF16() {
				levels = append(levels, BF16)
			}
		}
	}
	return levels
}
