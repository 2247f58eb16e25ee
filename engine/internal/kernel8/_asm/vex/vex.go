// Package vex encodes instructions that avo does not know in their form without AVX-512.
package vex

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Vpdpbusd adds to the sums in acc the products of signed bytes in w and unsigned bytes in x, four for each sum. Go's
// assembler and avo know only the encoding of AVX-512; this is VEX.256.66.0F38.W0 50 /r (Intel, Software Developer's
// Manual, volume 2C).
func Vpdpbusd(w, x, acc reg.VecPhysical) {
	r, v, m := uint32(acc.PhysicalIndex()), uint32(x.PhysicalIndex()), uint32(w.PhysicalIndex())
	const prefix, map0F38, l256, size66, opcode, registers = 0xC4, 2, 1 << 2, 1, 0x50, 0xC0
	second := (^r>>3&1)<<7 | 1<<6 | (^m>>3&1)<<5 | map0F38
	third := (^v&15)<<3 | l256 | size66
	modRM := registers | r&7<<3 | m&7
	Comment(fmt.Sprintf("{vex} vpdpbusd %%ymm%d,%%ymm%d,%%ymm%d", m, v, r))
	Instruction(&ir.Instruction{Opcode: "LONG", Operands: []Op{U32(prefix | second<<8 | third<<16 | opcode<<24)},
		Inputs: []Op{w, x, acc}, Outputs: []Op{acc}})
	Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(modRM)}})
}
