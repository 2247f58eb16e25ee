package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// shuffle leaves the end of each vector to the next one: what is stored there is overwritten.
func shuffle() {
	TEXT("shuffleVector", NOSPLIT, "func(dst, src, order *byte, in, out, n int)")
	Pragma("noescape")
	Doc("shuffleVector writes 16 bytes of dst n times, each being the byte of 16 of src that order names, or zero for 0x80. Each time",
		"src advances by in bytes and dst by out.")
	dst, src, order, in, out, n := arg("dst"), arg("src"), arg("order"), arg("in"), arg("out"), arg("n")
	var o, v VecVirtual = XMM(), XMM()
	VMOVDQU(at(order, 0), o)
	Label("loop")
	VMOVDQU(at(src, 0), v)
	VPSHUFB(o, v, v)
	VMOVDQU(v, at(dst, 0))
	ADDQ(in, src)
	ADDQ(out, dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	RET()
}
