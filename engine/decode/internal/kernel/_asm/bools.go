package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of fields of Bools, which the Go code checks.
const (
	boolsData  = 0
	boolsPos   = 24
	boolsValue = 32
	boolsValid = 40
	boolsWidth = 48
)

// decider decodes decisions. Value, valid and width are those of Bools, with next as the address of the next byte.
type decider struct {
	next, value, valid GPVirtual
	width              GPVirtual
	lower              GPVirtual // width of the lower part in the last decision
	t                  GPVirtual
}

// fill takes bytes until there are at least 56 bits, enough for seven decisions. There must be eight bytes more.
func (d *decider) fill() {
	MOVQ(at(d.next, 0), d.t)
	BSWAPQ(d.t)
	SHRXQ(d.valid, d.t, d.t)
	ORQ(d.t, d.value)
	MOVQ(d.valid, d.t)
	XORQ(I8(63), d.t)
	SHRQ(U8(3), d.t)
	ADDQ(d.t, d.next)
	ORQ(I8(56), d.valid)
}

// shift makes the interval at least 128 wide again.
func (d *decider) shift() {
	LZCNTL(d.width.As32(), d.t.As32())
	SUBL(I8(24), d.t.As32())
	SHLXL(d.t.As32(), d.width.As32(), d.width.As32())
	SHLXQ(d.t, d.value, d.value)
	SUBQ(d.t, d.valid)
}

// bit decodes a decision. It continues at zero, which must begin with isZero, if that is the result.
func (d *decider) bit(probability Op, zero string) {
	MOVBLZX(probability, d.t.As32())
	LEAL(Mem{Base: d.width, Disp: -1}, d.lower.As32())
	IMULL(d.t.As32(), d.lower.As32())
	SHRL(U8(8), d.lower.As32())
	INCL(d.lower.As32())
	MOVQ(d.lower, d.t)
	SHLQ(U8(56), d.t)
	CMPQ(d.value, d.t)
	JCS(LabelRef(zero))
	SUBQ(d.t, d.value)
	SUBL(d.lower.As32(), d.width.As32())
	d.shift()
}

// isZero is where bit continues.
func (d *decider) isZero(label string) {
	Label(label)
	MOVL(d.lower.As32(), d.width.As32())
	d.shift()
}

// readBlock follows readBlockGeneric. Fill is repeated before an eighth decision.
func readBlock() {
	zigzag := GLOBL("zigzagBytes", RODATA|NOPTR)
	for i, v := range []byte{0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15} {
		DATA(i, U8(2*v))
	}
	categories := []struct {
		base  uint32
		probs []byte
	}{
		{11, []byte{173, 148, 140}},
		{19, []byte{176, 155, 140, 135}},
		{35, []byte{180, 157, 141, 134, 130}},
		{67, []byte{254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129}},
	}
	large := GLOBL("largeProbs", RODATA|NOPTR) // each category ends by a zero
	offset := 0
	var begin []int
	for _, c := range categories {
		begin = append(begin, offset)
		for _, p := range append(c.probs, 0) {
			DATA(offset, U8(p))
			offset++
		}
	}
	small := GLOBL("smallProbs", RODATA|NOPTR)
	for i, p := range []byte{159, 165, 145} {
		DATA(i, U8(p))
	}

	TEXT("readBlockVector", NOSPLIT, "func(b *[]byte, dst *int16, probs *uint8, context, first int, f *uint16) int")
	Pragma("noescape")
	Doc("readBlockVector is readBlockGeneric for the Bools that begin with data b. At least blockBytes must follow.")
	b := arg("b")
	d := &decider{next: GP64(), value: GP64(), valid: GP64(), width: GP64(), lower: GP64(), t: GP64()}
	MOVQ(at(b, boolsData), d.next)
	ADDQ(at(b, boolsPos), d.next)
	MOVQ(at(b, boolsValue), d.value)
	MOVQ(at(b, boolsValid), d.valid)
	MOVL(at(b, boolsWidth), d.width.As32())
	dst, row, context, n := arg("dst"), arg("probs"), arg("context"), arg("first")
	IMUL3Q(I8(11), context, context)
	t := GP64()
	IMUL3Q(I8(33), n, t)
	ADDQ(t, row) // the probabilities of position n
	amount, probs := GP64(), GP64()

	p := func(i int) Mem { return Mem{Base: row, Index: context, Scale: 1, Disp: i} }

	d.fill()
	d.bit(p(0), "none")

	Label("coefficient")
	d.fill()
	d.bit(p(1), "zero")
	d.bit(p(2), "one")
	d.bit(p(3), "small")
	d.bit(p(6), "medium")
	d.fill()
	d.bit(p(8), "category34")
	d.bit(p(10), "category5")
	category := func(i int) {
		LEAQ(large.Offset(begin[i]), probs)
		MOVL(U32(categories[i].base), t.As32())
	}
	category(3)
	Label("bits")
	XORL(amount.As32(), amount.As32())
	Label("bit")
	d.fill()
	d.bit(at(probs, 0), "bit0")
	LEAL(Mem{Base: amount, Index: amount, Scale: 1, Disp: 1}, amount.As32())
	Label("nextBit")
	INCQ(probs)
	CMPB(at(probs, 0), I8(0))
	JNE(LabelRef("bit"))
	ADDL(t.As32(), amount.As32())
	d.fill()
	Label("many")
	MOVL(U32(22), context.As32())

	Label("sign") // without a branch, which would be mispredicted half of the time
	other := GP64()
	LEAL(Mem{Base: d.width, Disp: 1}, d.lower.As32())
	SHRL(U8(1), d.lower.As32())
	SUBL(d.lower.As32(), d.width.As32())
	MOVQ(d.lower, d.t)
	SHLQ(U8(56), d.t)
	MOVQ(d.value, other)
	SUBQ(d.t, other)
	CMOVQCC(other, d.value)
	CMOVLCS(d.lower.As32(), d.width.As32())
	SBBL(other.As32(), other.As32()) // -1 if positive
	NOTL(other.As32())
	d.shift()
	f := Load(Param("f"), GP64())
	XORL(t.As32(), t.As32())
	TESTQ(n, n)
	SETNE(t.As8())
	MOVWLZX(Mem{Base: f, Index: t, Scale: 2}, t.As32())
	IMULL(t.As32(), amount.As32())
	XORL(other.As32(), amount.As32())
	SUBL(other.As32(), amount.As32())
	LEAQ(zigzag, t)
	MOVBLZX(Mem{Base: t, Index: n, Scale: 1}, t.As32())
	MOVW(amount.As16(), Mem{Base: dst, Index: t, Scale: 1})
	INCQ(n)
	ADDQ(U8(33), row)
	CMPQ(n, U8(16))
	JEQ(LabelRef("end"))
	d.bit(p(0), "last")
	JMP(LabelRef("coefficient"))

	d.isZero("zero")
	INCQ(n)
	ADDQ(U8(33), row)
	XORL(context.As32(), context.As32())
	CMPQ(n, U8(16))
	JNE(LabelRef("coefficient"))
	JMP(LabelRef("end"))

	d.isZero("one")
	MOVL(U32(1), amount.As32())
	MOVL(U32(11), context.As32())
	JMP(LabelRef("sign"))

	d.isZero("small")
	d.bit(p(4), "two")
	d.bit(p(5), "three")
	MOVL(U32(4), amount.As32())
	JMP(LabelRef("many"))
	d.isZero("three")
	MOVL(U32(3), amount.As32())
	JMP(LabelRef("many"))
	d.isZero("two")
	MOVL(U32(2), amount.As32())
	JMP(LabelRef("many"))

	d.isZero("medium")
	d.fill()
	d.bit(p(7), "category1")
	MOVL(U32(9), amount.As32())
	d.bit(small.Offset(1), "lower2")
	Label("half2")
	d.bit(small.Offset(2), "even2")
	INCL(amount.As32())
	JMP(LabelRef("many"))
	d.isZero("lower2")
	MOVL(U32(7), amount.As32())
	JMP(LabelRef("half2"))
	d.isZero("even2")
	JMP(LabelRef("many"))
	d.isZero("category1")
	MOVL(U32(6), amount.As32())
	d.bit(small, "five")
	JMP(LabelRef("many"))
	d.isZero("five")
	MOVL(U32(5), amount.As32())
	JMP(LabelRef("many"))

	d.isZero("category34")
	d.bit(p(9), "category3")
	category(1)
	JMP(LabelRef("bits"))
	d.isZero("category3")
	category(0)
	JMP(LabelRef("bits"))
	d.isZero("category5")
	category(2)
	JMP(LabelRef("bits"))
	d.isZero("bit0")
	ADDL(amount.As32(), amount.As32())
	JMP(LabelRef("nextBit"))

	d.isZero("last")
	JMP(LabelRef("end"))
	d.isZero("none")
	Label("end")
	b = arg("b")
	MOVQ(d.value, at(b, boolsValue))
	MOVQ(d.valid, at(b, boolsValid))
	MOVL(d.width.As32(), at(b, boolsWidth))
	SUBQ(at(b, boolsData), d.next)
	MOVQ(d.next, at(b, boolsPos))
	Store(n, ReturnIndex(0))
	RET()
}

// hasLeadingZeros writes a check of an instruction that no feature flag of Go's library tells.
func hasLeadingZeros() {
	TEXT("countsLeadingZeros", NOSPLIT, "func() bool")
	Doc("countsLeadingZeros reports whether the CPU has LZCNT. Others take it for BSR, which numbers the highest bit from the lowest on.")
	one := GP32()
	MOVL(U32(1), one)
	LZCNTL(one, one)
	CMPL(one, U8(31))
	equal := GP8()
	SETEQ(equal)
	Store(equal, ReturnIndex(0))
	RET()
}
