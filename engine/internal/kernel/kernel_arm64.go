//go:build !purego

package kernel

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly.
func assembly() []*Set { return []*Set{&neon} }

var neon = wrap(cpu.NEON, 16, []tileFunc{tile1NEON, tile2NEON, tile3NEON, tile4NEON, tile5NEON, tile6NEON},
	[algorithms]inputFunc{input2NEON, input4NEON, input4x2NEON, inputStride2NEON},
	[algorithms]outputFunc{output2NEON, output4NEON, output4x2NEON, outputStride2NEON}, maxPoolNEON)
