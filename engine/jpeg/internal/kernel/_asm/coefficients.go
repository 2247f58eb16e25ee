package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const lookupBits = 10 // LookupBits

// coefficients unrolls the look-ups that one load of 57 bits or more serves.
func coefficients() {
	TEXT("coefficientsBMI2", NOSPLIT, "func(block *int16, table *uint64, order *uint8, data *byte, pos, k int) (newK, newPos int)")
	Pragma("noescape")
	Doc("coefficientsBMI2 is coefficientsGeneric, order being natural.")
	block, table, order, data := arg("block"), arg("table"), arg("order"), arg("data")
	pos, k := arg("pos"), arg("k")
	bits, entry := GP64(), GP64()
	first, last := GP64(), GP64() // indices of coefficients

	// load gets the bits from position p on.
	load := func(p GPVirtual) {
		at, shift := GP64(), GP64()
		MOVQ(p, at)
		SHRQ(U8(3), at)
		MOVQ(Mem{Base: data, Index: at, Scale: 1}, bits)
		BSWAPQ(bits)
		MOVQ(p, shift)
		ANDQ(U8(7), shift)
		SHLXQ(shift, bits, bits)
	}
	// store writes a value as coefficient number i.
	store := func(value, i GPVirtual) {
		at := GP64()
		MOVBQZX(Mem{Base: order, Index: i, Scale: 1}, at)
		MOVW(value.As16(), Mem{Base: block, Index: at, Scale: 2})
	}

	Label("load")
	load(pos)
	for range 57 / lookupBits {
		index, steps, value := GP64(), GP64(), GP64()
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
		steps, length := GP64(), GP64()
		MOVQ(entry, steps)
		SHRQ(U8(32), steps)
		MOVBLZX(steps.As8(), steps.As32())
		ADDQ(k, steps)
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
	Store(k, Return("newK"))
	Store(pos, Return("newPos"))
	RET()

	Label("open")
	{
		steps, size, value, sign, mask, free := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
		length := GP64()
		MOVL(entry.As32(), length.As32())
		ANDL(U8(63), length.As32())
		JZ(LabelRef("return"))
		ADDQ(length, pos)
		load(pos)
		MOVL(entry.As32(), steps.As32())
		SHRL(U8(8), steps.As32())
		MOVL(steps.As32(), size.As32())
		MOVBLZX(steps.As8(), steps.As32())
		ADDQ(steps, k)
		SHRL(U8(8), size.As32())
		ANDL(U8(15), size.As32())
		ADDQ(size, pos)
		// value = the topmost size bits; where they begin with zero, plus 1 - 2^size.
		MOVQ(bits, sign)
		NOTQ(sign)
		SARQ(U8(63), sign)
		MOVQ(I32(-1), mask)
		SHLXQ(size, mask, mask)
		INCQ(mask)
		ANDQ(sign, mask)
		MOVQ(size, free)
		NEGQ(free)
		SHRXQ(free, bits, value)
		ADDQ(mask, value)
		store(value, k)
		CMPQ(k, U8(63))
		JLT(LabelRef("load"))
		JMP(LabelRef("return"))
	}
}
