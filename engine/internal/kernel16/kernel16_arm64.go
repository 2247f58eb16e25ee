//go:build !purego

package kernel16

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

// assembly lists the sets written in assembly.
func assembly() []*Set { return []*Set{&bf16} }

var bf16 = Set{Level: cpu.BF16, most: 6, tile: tileBF16}

func tileBF16(p Product) {
	tiles := [...]func(c *float32, cs int, a *float32, as, rs, rows, k int, b *uint16, bias, residual *float32, relu int){
		tile1BF16, tile2BF16, tile3BF16, tile4BF16, tile5BF16, tile6BF16}
	var residual *float32
	if p.Residual != nil {
		residual = &p.Residual[0]
	}
	relu := 0
	if p.ReLU {
		relu = 1
	}
	tiles[p.M-1](&p.C[0], p.LDC, &p.A[0], p.LDA, p.RowStride, p.Rows, p.K, &p.B[0], &p.Bias[0], residual, relu)
}
