//go:build !purego

package kernel

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly.
func assembly() []*Set { return []*Set{&neon} }

var neon = wrap(cpu.NEON, 6, neonColumns, tilesOf(neonColumns, tileNEON),
	[algorithms]inputFunc{input2NEON, input4NEON, input4x2NEON, inputStride2NEON},
	[algorithms]outputFunc{output2NEON, output4NEON, output4x2NEON, outputStride2NEON}, maxPoolNEON, stemInputNEON, stemOutputNEON)

const neonColumns = 16

func tileNEON(p Product) {
	tiles := [...]func(c *float32, cs int, a *float32, as, rs, rows, k int, b, bias, residual *float32, relu int){
		tile1NEON, tile2NEON, tile3NEON, tile4NEON, tile5NEON, tile6NEON}
	tiles[p.M-1](&p.C[0], p.LDC, &p.A[0], p.LDA, p.RowStride, p.Rows, p.K, &p.B[0], &p.Bias[0], first(p.Residual), flag(p.ReLU))
}
