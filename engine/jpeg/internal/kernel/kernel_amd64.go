//go:build !purego

package kernel

import (
	"slices"

	xcpu "golang.org/x/sys/cpu"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

const simdLevel = cpu.AVX2

// hasSIMD also asks for the bit instructions that came with AVX2.
var hasSIMD = slices.Contains(cpu.Levels(), simdLevel) && xcpu.X86.HasBMI2

func (r *Reader) next(k int) int {
	if !simd {
		return r.nextGeneric(k)
	}
	left, last := nextVector(&r.Data, &r.Units[r.Read].Coefs[0], len(r.Units)-r.Read, k)
	r.Read = len(r.Units) - left
	return last
}
