//go:build !purego

package kernel

import (
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

// Only RGB has a form for NEON.
const simdLevel = cpu.NEON

var hasSIMD = slices.Contains(cpu.Levels(), simdLevel)
