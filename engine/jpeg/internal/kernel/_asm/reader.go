package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	lookupBits = 10  // LookupBits
	blockRoom  = 256 // BlockRoom
)

// Offsets of Reader's fields.
const (
	readerData  = 0
	readerPos   = 24
	readerDC    = 32
	readerAC    = 40
	readerBlock = 48
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
	for ; k < blockRoom; k++ {
		DATA(k, U8(64))
	}
	return m
}

// next unrolls the look-ups that one load of 57 bits or more serves.
func next() {
	natural := naturalOrder()
	TEXT("nextVector", NOSPLIT, "func(r *[]byte, k int) int")
	Pragma("noescape")
	Doc("nextVector is nextGeneric. r points to the first field of a Reader.")
	reader, k := arg("r"), arg("k")
	data, pos, table, order := GP64(), GP64(), GP64(), GP64()
	MOVQ(at(reader, readerData), data)
	MOVQ(at(reader, readerPos), pos)
	MOVQ(at(reader, readerAC), table)
	LEAQ(natural, order)
	bits, entry := GP64(), GP64()
	first, steps := GP64(), GP64() // first: index of a coefficient

	// load gets the bits from pos on.
	load := func() {
		t, shift := GP64(), GP64()
		MOVQ(pos, t)
		SHRQ(U8(3), t)
		MOVQ(Mem{Base: data, Index: t, Scale: 1}, bits)
		BSWAPQ(bits)
		MOVQ(pos, shift)
		ANDQ(U8(7), shift)
		SHLXQ(shift, bits, bits)
	}
	// store writes a value as coefficient number i.
	store := func(value, i GPVirtual) {
		t := GP64()
		MOVBQZX(Mem{Base: order, Index: i, Scale: 1}, t)
		MOVW(value.As16(), Mem{Base: reader, Index: t, Scale: 2, Disp: readerBlock})
	}
	// openValue steps over an open entry's code and value; it goes to return where there is no code.
	openValue := func() GPVirtual {
		length, size, value, sign, mask := GP64(), GP64(), GP64(), GP64(), GP64()
		MOVL(entry.As32(), length.As32())
		ANDL(U8(63), length.As32())
		JZ(LabelRef("return"))
		ADDQ(length, pos)
		load()
		MOVL(entry.As32(), size.As32())
		SHRL(U8(16), size.As32())
		ANDL(U8(15), size.As32())
		ADDQ(size, pos)
		// The topmost size bits; where they begin with zero, plus 1 - 2^size.
		MOVQ(bits, sign)
		NOTQ(sign)
		SARQ(U8(63), sign)
		MOVQ(I32(-1), mask)
		SHLXQ(size, mask, mask)
		INCQ(mask)
		ANDQ(sign, mask)
		NEGQ(size)
		SHRXQ(size, bits, value)
		ADDQ(mask, value)
		return value
	}

	TESTQ(k, k)
	JNS(LabelRef("load"))
	{
		zero, index, dc, length := XMM(), GP64(), GP64(), GP64()
		PXOR(zero, zero)
		for i := range 8 {
			MOVUPS(zero, at(reader, readerBlock+16*i))
		}
		MOVQ(at(reader, readerDC), dc)
		load()
		MOVQ(bits, index)
		SHRQ(U8(64-lookupBits), index)
		MOVL(Mem{Base: dc, Index: index, Scale: 4}, entry.As32())
		BTL(U8(6), entry.As32())
		JCS(LabelRef("openDC"))
		SHLXQ(entry, bits, bits)
		MOVBLZX(entry.As8(), length.As32())
		ADDQ(length, pos)
		SHRL(U8(16), entry.As32())
		MOVW(entry.As16(), at(reader, readerBlock))
		XORL(k.As32(), k.As32())
		JMP(LabelRef("second")) // the bits left serve one look-up less
	}

	Label("load")
	load()
	for i := range 57 / lookupBits {
		if i == 1 {
			Label("second")
		}
		index, value, last := GP64(), GP64(), GP64()
		MOVQ(bits, index)
		SHRQ(U8(64-lookupBits), index)
		MOVQ(Mem{Base: table, Index: index, Scale: 8}, entry)
		BTL(U8(6), entry.As32())
		JCS(LabelRef("open"))
		SHLXQ(entry, bits, bits) // by the low six bits

		MOVL(entry.As32(), first.As32())
		SHRL(U8(8), first.As32())
		MOVL(first.As32(), value.As32())
		MOVBLZX(first.As8(), first.As32())
		ADDQ(k, first)
		SHRL(U8(8), value.As32())
		MOVQ(entry, last)
		SHRQ(U8(32), last)
		MOVBLZX(last.As8(), steps.As32())
		ADDQ(k, steps)
		SHRL(U8(16), last.As32())
		store(value, first)
		store(last, steps)
		CMPQ(steps, U8(63))
		JGE(LabelRef("end"))
		MOVQ(steps, k)
		length := GP64()
		MOVBLZX(entry.As8(), length.As32())
		ADDQ(length, pos)
	}
	JMP(LabelRef("load"))

	Label("end")
	{
		// If the first symbol ends the block and there is a second, do not take the entry.
		length := GP64()
		CMPQ(first, U8(63))
		JLT(LabelRef("take"))
		CMPQ(first, steps)
		JNE(LabelRef("return"))
		Label("take")
		MOVQ(steps, k)
		MOVBLZX(entry.As8(), length.As32())
		ADDQ(length, pos)
	}
	Label("return")
	MOVQ(pos, at(reader, readerPos))
	Store(k, ReturnIndex(0))
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
		JLT(LabelRef("load"))
		JMP(LabelRef("return"))
	}

	Label("openDC")
	{
		value := openValue()
		MOVW(value.As16(), at(reader, readerBlock))
		XORL(k.As32(), k.As32())
		JMP(LabelRef("load"))
	}
}
