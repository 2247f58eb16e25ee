package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// maxPool writes one output row of the 3x3 stride-2 maximum.
func (t target) maxPool() {
	TEXT("maxPool"+t.suffix, NOSPLIT, "func(y, r0, r1, r2 *float32, columns, channels int)")
	Pragma("noescape")
	Doc("maxPool" + t.suffix + " is maxPoolGeneric.")
	y, r0, r1, r2 := pointer("y"), pointer("r0"), pointer("r1"), pointer("r2")
	columns, channels := count("columns"), count("channels")
	pixel := stride("channels")
	Label("column")
	left := GP64()
	MOVQ(channels, left)
	Label("channel")
	best := t.vec()
	VMOVUPS(Mem{Base: r0}, best)
	VMAXPS(Mem{Base: r0, Index: pixel, Scale: 1}, best, best)
	VMAXPS(Mem{Base: r0, Index: pixel, Scale: 2}, best, best)
	VMAXPS(Mem{Base: r1}, best, best)
	VMAXPS(Mem{Base: r1, Index: pixel, Scale: 1}, best, best)
	VMAXPS(Mem{Base: r1, Index: pixel, Scale: 2}, best, best)
	VMAXPS(Mem{Base: r2}, best, best)
	VMAXPS(Mem{Base: r2, Index: pixel, Scale: 1}, best, best)
	VMAXPS(Mem{Base: r2, Index: pixel, Scale: 2}, best, best)
	VMOVUPS(best, Mem{Base: y})
	step := number(t.bytes())
	ADDQ(step, y)
	ADDQ(step, r0)
	ADDQ(step, r1)
	ADDQ(step, r2)
	SUBQ(Imm(uint64(t.lanes)), left)
	JNZ(LabelRef("channel"))
	// The window moves by two pixels, and has moved by one.
	ADDQ(pixel, r0)
	ADDQ(pixel, r1)
	ADDQ(pixel, r2)
	DECQ(columns)
	JNZ(LabelRef("column"))
	VZEROUPPER()
	RET()
}
