//go:build !purego

package kernel

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

const simdLevel = cpu.NEON

var hasSIMD = slices.Contains(cpu.Levels(), simdLevel)

func (r *Reader) next(k int) int { return r.nextGeneric(k) }
