package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	lookupBits = 10  // LookupBits
	indices    = 256 // the length of natural
	open       = 64  // Open
	endOfBlock = 129 // EndOfBlock
	blockBytes = 4*64 + 16
)

// Offsets of the fields of Reader and Unit.
const (
	readerData = 0
	readerPos  = 24
	unitDC     = 136
	unitAC     = 144
	unitLast   = 152
	unitSize   = 160
)

// naturalOrder is the table natural.
func naturalOrder() Mem {
	m := GLOBL("naturalOrder", RODATA|NOPTR)
	k := 0
	for sum := range 15 {
		for i := range sum + 1 {
			x, y := i, sum-i
			if sum&1 == 1 {
				x, y = y, x
			}
			if x < 8 && y < 8 {
				DATA(k, U8(8*y+x))
				k++
			}
		}
	}
	for ; k < indices; k++ {
		DATA(k, U8(64))
	}
	return m
}

// next unrolls the look-ups that one load serves.
//
// The bits not yet read are at the top of a register. Below them are those that follow in the file, or zeros, so that a load
// can be combined with them by OR: its address depends on the number of bits alone, not on the last look-up. The number is
// in the low six bits of another register. Those above are anything: shifts ignore them, which saves masking the lengths in
// the entries.
func next() {
	natural := naturalOrder()
	TEXT("nextVector", NOSPLIT, "func(r *[]byte, unit *int16, units int, k int) (left int, last int)")
	Pragma("noescape")
	Doc("nextVector is nextGeneric from the Unit at unit on. r points to the first field of a Reader. It returns how many units are left",
		"and the last coefficient.")
	reader, unit, k := arg("r"), arg("unit"), arg("k")
	left, err := Param("units").Resolve() // counted down in place
	if err != nil {
		panic(err)
	}
	data, table, order, limit := GP64(), GP64(), GP64(), GP64() // data: the byte to load next
	MOVQ(at(unit, unitAC), table)
	LEAQ(natural, order)
	bits, count, entry := GP64(), GP64(), GP64()
	first, last := GP64(), GP64() // indices of coefficients
	top := GP64()
	MOVQ(U32(64-lookupBits), top)

	// load fills up the bits to 56 or more.
	load := func() {
		t, n := GP64(), GP64()
		MOVQ(at(data, 0), t)
		BSWAPQ(t)
		SHRXQ(count, t, t)
		ORQ(t, bits)
		MOVQ(count, n)
		NOTQ(n)
		SHRQ(U8(3), n)
		ANDL(U8(7), n.As32())
		ADDQ(n, data)
		ORQ(U8(56), count)
	}
	// take removes as many bits as the low six bits of n say.
	take := func(n GPVirtual) {
		SHLXQ(n, bits, bits)
		SUBQ(n, count)
	}
	// store writes a value as coefficient number i.
	store := func(value, i GPVirtual) {
		t := GP64()
		MOVBQZX(Mem{Base: order, Index: i, Scale: 1}, t)
		MOVW(value.As16(), Mem{Base: unit, Index: t, Scale: 2})
	}
	// openValue steps over an open entry's code and value; it goes to return where there is no code. At least 41 bits
	// are left.
	openValue := func() GPVirtual {
		size, value, sign, mask := GP64(), GP64(), GP64(), GP64()
		TESTL(U32(63), entry.As32())
		JZ(LabelRef("return"))
		take(entry)
		load()
		MOVL(entry.As32(), size.As32())
		SHRL(U8(16), size.As32())
		ANDL(U8(15), size.As32())
		// The topmost size bits; where they begin with zero, plus 1 - 2^size.
		MOVQ(bits, sign)
		NOTQ(sign)
		SARQ(U8(63), sign)
		MOVQ(I32(-1), mask)
		SHLXQ(size, mask, mask)
		INCQ(mask)
		ANDQ(sign, mask)
		MOVQ(size, value)
		NEGQ(value)
		SHRXQ(value, bits, value)
		ADDQ(mask, value)
		take(size)
		return value
	}

	// Load 56 bits, and take those of the first byte that were read before.
	{
		pos := GP64()
		MOVQ(at(reader, readerPos), pos)
		MOVQ(pos, data)
		SHRQ(U8(3), data)
		MOVQ(at(reader, readerData), limit)
		ADDQ(limit, data)
		ADDQ(at(reader, readerData+8), limit)
		SUBQ(U32(blockBytes), limit)
		ANDL(U8(7), pos.As32())
		MOVQ(at(data, 0), bits)
		BSWAPQ(bits)
		ADDQ(U8(7), data)
		MOVQ(U32(56), count)
		take(pos)
	}
	TESTQ(k, k)
	JNS(LabelRef("load"))

	Label("begin")
	{
		zero, index, dc := YMM(), GP64(), GP64()
		VPXOR(zero, zero, zero)
		for i := range 4 {
			VMOVDQU(zero, at(unit, 32*i))
		}
		load()
		MOVQ(at(unit, unitDC), dc)
		SHRXQ(top, bits, index)
		MOVL(Mem{Base: dc, Index: index, Scale: 4}, entry.As32())
		XORL(k.As32(), k.As32())
		DECQ(k)
		TESTL(U32(open), entry.As32())
		JNZ(LabelRef("openDC"))
		take(entry)
		SHRL(U8(16), entry.As32())
		MOVW(entry.As16(), at(unit, 0))
		INCQ(k)
	}
	JMP(LabelRef("second"))

	Label("load")
	load()
	for i := range 57 / lookupBits {
		if i == 1 {
			Label("second")
		}
		index, value, lastValue := GP64(), GP64(), GP64()
		SHRXQ(top, bits, index)
		MOVQ(Mem{Base: table, Index: index, Scale: 8}, entry)
		TESTL(U32(open), entry.As32())
		JNZ(LabelRef("open"))
		SHLXQ(entry, bits, bits)
		RORXQ(U8(8), entry, first)
		MOVBLZX(first.As8(), first.As32())
		ADDQ(k, first)
		RORXQ(U8(32), entry, last)
		MOVBLZX(last.As8(), last.As32())
		ADDQ(k, last)
		RORXQ(U8(16), entry, value)
		RORXQ(U8(48), entry, lastValue)
		store(value, first)
		store(lastValue, last)
		CMPQ(last, U8(63))
		JGE(LabelRef("end"))
		MOVQ(last, k)
		SUBQ(entry, count)
	}
	JMP(LabelRef("load"))

	Label("end")
	{
		// If the first symbol ends the block and there is a second, do not take the entry.
		CMPQ(first, U8(63))
		JLT(LabelRef("take"))
		CMPQ(first, last)
		JNE(LabelRef("return"))
		Label("take")
		MOVQ(last, k)
		SUBQ(entry, count)
	}

	Label("ended")
	{
		t := GP64()
		LEAQ(at(k, -64), t)
		CMPQ(t, U8(endOfBlock-64))
		JCS(LabelRef("return")) // damaged
		MOVQ(k, at(unit, unitLast))
		DECQ(left.Addr)
		JZ(LabelRef("return"))
		CMPQ(data, limit)
		JHI(LabelRef("return"))
		ADDQ(U32(unitSize), unit)
		MOVQ(at(unit, unitAC), table)
		JMP(LabelRef("begin"))
	}

	Label("return")
	reader = arg("r")
	SUBQ(at(reader, readerData), data)
	SHLQ(U8(3), data)
	ANDL(U8(63), count.As32())
	SUBQ(count, data)
	MOVQ(data, at(reader, readerPos))
	n := GP64()
	MOVQ(left.Addr, n)
	Store(n, Return("left"))
	Store(k, Return("last"))
	VZEROUPPER()
	RET()

	Label("open")
	{
		value := openValue()
		steps := GP64()
		SHRL(U8(8), entry.As32())
		MOVBLZX(entry.As8(), steps.As32())
		ADDQ(steps, k)
		store(value, k)
		CMPQ(k, U8(63))
		JLT(LabelRef("second"))
		JMP(LabelRef("ended"))
	}

	Label("openDC")
	{
		value := openValue()
		MOVW(value.As16(), at(unit, 0))
		XORL(k.As32(), k.As32())
		JMP(LabelRef("second"))
	}
}
