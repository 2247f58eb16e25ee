// Package vex encodes instructions that avo does not know in their form without AVX-512.
package vex

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Vpdpbusd adds to the sums in acc the products of signed bytes in w, a register or memory, and unsigned bytes in x, four
// for each sum. Go's assembler and avo know only the encoding of AVX-512; this is VEX.256.66.0F38.W0 50 /r (Intel,
// Software Developer's Manual, volume 2, sections 2.1.5 and 2.3). Memory has a base of the first eight registers but SP,
// and a displacement of 8 bits.
func Vpdpbusd(w Op, x, acc reg.VecPhysical) {
	r, v := uint32(acc.PhysicalIndex()), uint32(x.PhysicalIndex())
	inputs := []Op{x, acc}
	var m, mod, displacement uint32
	var operand string
	switch w := w.(type) {
	case reg.VecPhysical:
		m, mod = uint32(w.PhysicalIndex()), 3<<6
		operand = fmt.Sprintf("%%ymm%d", m)
		inputs = append(inputs, w)
	case Mem:
		base := w.Base.(reg.GPPhysical)
		m, mod, displacement = uint32(base.PhysicalIndex()), 1<<6, uint32(w.Disp)
		operand = fmt.Sprintf("%#x(%%%s)", w.Disp, [...]string{"rax", "rcx", "rdx", "rbx", "", "rbp", "rsi", "rdi"}[m])
		inputs = append(inputs, base)
	}
	const prefix, map0F38, l256, size66, opcode = 0xC4, 2, 1 << 2, 1, 0x50
	second := (^r>>3&1)<<7 | 1<<6 | (^m>>3&1)<<5 | map0F38
	third := (^v&15)<<3 | l256 | size66
	Comment(fmt.Sprintf("{vex} vpdpbusd %s,%%ymm%d,%%ymm%d", operand, v, r))
	Instruction(&ir.Instruction{Opcode: "LONG", Operands: []Op{U32(prefix | second<<8 | third<<16 | opcode<<24)},
		Inputs: inputs, Outputs: []Op{acc}})
	Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(mod | r&7<<3 | m&7)}})
	if mod == 1<<6 {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(displacement)}})
	}
}
