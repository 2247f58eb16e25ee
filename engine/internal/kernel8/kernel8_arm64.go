//go:build !purego

package kernel8

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly, in rising order.
func assembly() []*Set { return []*Set{&neon, &dotProd, &i8mm} }

var (
	i8mm    = wrap(cpu.I8MM, 8, packing{depth: 8}, tileI8MM, maxPoolNEON)
	dotProd = wrap(cpu.DotProd, 8, packing{depth: 4, shifted: true}, tileDotProd, maxPoolNEON)
	neon    = wrap(cpu.NEON, 4, packing{depth: 16, shifted: true}, tileNEON, maxPoolNEON)
)
