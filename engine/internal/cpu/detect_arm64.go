//go:build !purego

package cpu

import "golang.org/x/sys/cpu"

func detect() []Level {
	if cpu.ARM64.HasASIMDDP {
		return []Level{NEON, DotProd}
	}
	return []Level{NEON}
}
