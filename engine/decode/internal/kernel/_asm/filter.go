package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of fields of Strength, which the Go code checks.
const (
	strengthLimit     = 0
	strengthInterior  = 1
	strengthThreshold = 2
)

// edge is eight rows of 16 samples, four before an edge and four behind it, and what filters need to know.
type edge struct {
	p3, p2, p1, p0, q0, q1, q2, q3 VecVirtual
	mask, smooth                   VecVirtual // -1 where to filter, and where all near samples change
}

// constants of filters, of 16 bytes.
var signs, evenBits, fours, threes, fiveBits, sixteens, ninth, rounding, sixtyFour Mem

func repeat(name string, v byte) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		DATA(i, U8(v))
	}
	return m
}

func filters() {
	signs, evenBits = repeat("signs", 0x80), repeat("evenBits", 0xFE)
	fours, threes, fiveBits, sixteens, sixtyFour = repeat("fours", 4), repeat("threes", 3), repeat("fiveBits", 0x1F), repeat("sixteens", 16), repeat("sixtyFour", 64)
	ninth, rounding = words("nine", 9<<8), words("rounding", 63)
	transpose()
	filterRows("filterRowsVector", "pix *byte, stride int", "filterRowsVector filters edges between rows of 16 samples", 1, normal)
	filterRows("filterPairsVector", "u, v *byte, stride int", "filterPairsVector filters edges between rows of two planes with 8 samples each", 2, normal)
	filterRows("filterSimpleVector", "pix *byte, stride int", "filterSimpleVector filters edges between rows of 16 samples in the simple way", 1, simple)
}

// transpose interleaves rows k and k+4, then k and k+2, then k and k+1. Three times that makes columns of eight rows.
func transpose() {
	TEXT("transposeVector", NOSPLIT, "func(low, high *byte, to int, fromLow, fromHigh *byte, from int)")
	Pragma("noescape")
	Doc("transposeVector transposes 16x16 bytes. The first eight rows are at fromLow, from bytes apart, the others at fromHigh; results",
		"likewise at low and high.")
	low, high, to, fromLow, fromHigh, from := arg("low"), arg("high"), arg("to"), arg("fromLow"), arg("fromHigh"), arg("from")
	var rows [8]VecVirtual
	for i := range rows {
		rows[i] = YMM()
		VMOVDQU(at(fromLow, 0), rows[i].AsX())
		VINSERTI128(U8(1), at(fromHigh, 0), rows[i], rows[i])
		if i < 7 {
			ADDQ(from, fromLow)
			ADDQ(from, fromHigh)
		}
	}
	for range 3 {
		var next [8]VecVirtual
		for i := range 4 {
			next[2*i], next[2*i+1] = YMM(), YMM()
			VPUNPCKLBW(rows[i+4], rows[i], next[2*i])
			VPUNPCKHBW(rows[i+4], rows[i], next[2*i+1])
		}
		rows = next
	}
	for i, r := range rows { // columns 2i and 2i+1 of rows 0 to 7, then of rows 8 to 15
		VPERMQ(U8(0b11011000), r, r)
		base := low
		if i >= 4 {
			base = high
		}
		VMOVDQU(r.AsX(), at(base, 0))
		VEXTRACTI128(U8(1), r, Mem{Base: base, Index: to, Scale: 1})
		if i%4 < 3 {
			LEAQ(Mem{Base: base, Index: to, Scale: 2}, base)
		}
	}
	VZEROUPPER()
	RET()
}

// kind of filter: whether it has rows beyond the second, and the filters of outer and inner edges.
type kind struct {
	masks        func(e *edge, s, limit Register)
	outer, inner func(e *edge)
	reach        int // rows at each side that are read
}

var (
	normal = kind{(*edge).masks, (*edge).outer, (*edge).inner, 4}
	simple = kind{(*edge).simpleMask, (*edge).simple, (*edge).simple, 2}
)

// filterRows writes a function that filters the edge before a row, and edges every four rows behind it.
func filterRows(name, planes, doc string, n int, k kind) {
	TEXT(name, NOSPLIT, "func("+planes+", s *uint8, outer bool, inner int)")
	Pragma("noescape")
	Doc(doc+": the one before the first row, if",
		"outer, and as many as inner says, each four rows below the one before.")
	var base [2]GPVirtual
	if n == 1 {
		base[0] = arg("pix")
	} else {
		base[0], base[1] = arg("u"), arg("v")
	}
	stride, s, inner := arg("stride"), arg("s"), arg("inner")
	outer := Load(Param("outer"), GP8())
	triple, four := GP64(), GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, triple)
	MOVQ(stride, four)
	SHLQ(U8(2), four)
	limit := GP64()
	MOVBLZX(at(s, strengthLimit), limit.As32())
	for i := range n {
		SUBQ(four, base[i]) // the rows before an edge, those behind it are at next
	}
	next := [2]GPVirtual{GP64(), GP64()}
	forward := func() {
		for i := range n {
			LEAQ(Mem{Base: base[i], Index: four, Scale: 1}, next[i])
		}
	}
	// row addresses row i of the edge's eight.
	row := func(plane, i int) Mem {
		b := base[plane]
		if i >= 4 {
			b = next[plane]
		}
		switch i % 4 {
		case 0:
			return at(b, 0)
		case 1:
			return Mem{Base: b, Index: stride, Scale: 1}
		case 2:
			return Mem{Base: b, Index: stride, Scale: 2}
		}
		return Mem{Base: b, Index: triple, Scale: 1}
	}
	load := func() *edge {
		forward()
		e := &edge{}
		for i, v := range []*VecVirtual{&e.p3, &e.p2, &e.p1, &e.p0, &e.q0, &e.q1, &e.q2, &e.q3} {
			if i < 4-k.reach || i >= 4+k.reach {
				continue
			}
			*v = XMM()
			if n == 1 {
				VMOVDQU(row(0, i), *v)
			} else {
				VMOVQ(row(0, i), *v)
				VMOVHPS(row(1, i), *v, *v)
			}
		}
		return e
	}
	store := func(v VecVirtual, i int) {
		if n == 1 {
			VMOVDQU(v, row(0, i))
		} else {
			VMOVQ(v, row(0, i))
			VMOVHPS(v, row(1, i))
		}
	}
	TESTB(outer.(GPVirtual), outer.(GPVirtual))
	JEQ(LabelRef("inner"))
	e := load()
	ADDL(U8(4), limit.As32())
	k.masks(e, s, limit)
	k.outer(e)
	SUBL(U8(4), limit.As32())
	if k.reach == 4 {
		store(e.p2, 1)
		store(e.p1, 2)
		store(e.q1, 5)
		store(e.q2, 6)
	}
	store(e.p0, 3)
	store(e.q0, 4)
	Label("inner")
	TESTQ(inner, inner)
	JEQ(LabelRef("end"))
	Label("loop")
	for i := range n {
		ADDQ(four, base[i])
	}
	e = load()
	k.masks(e, s, limit)
	k.inner(e)
	if k.reach == 4 {
		store(e.p1, 2)
		store(e.q1, 5)
	}
	store(e.p0, 3)
	store(e.q0, 4)
	DECQ(inner)
	JNE(LabelRef("loop"))
	Label("end")
	RET()
}

// distance makes |a - b|.
func distance(a, b VecVirtual) VecVirtual {
	x, y := XMM(), XMM()
	VPSUBUSB(b, a, x)
	VPSUBUSB(a, b, y)
	VPOR(x, y, x)
	return x
}

// across makes -1 where the difference across the edge is within the limit, else 0.
func (e *edge) across(limit Register) (beyond VecVirtual) {
	beyond = distance(e.p0, e.q0)
	VPADDUSB(beyond, beyond, beyond)
	far := distance(e.p1, e.q1)
	VPAND(evenBits, far, far)
	VPSRLW(U8(1), far, far)
	VPADDUSB(far, beyond, beyond)
	most := XMM()
	VMOVD(limit.(GPVirtual).As32(), most)
	VPBROADCASTB(most, most)
	VPSUBUSB(most, beyond, beyond)
	return beyond
}

func (e *edge) simpleMask(_, limit Register) {
	e.mask = e.across(limit)
	zero := XMM()
	VPXOR(zero, zero, zero)
	VPCMPEQB(zero, e.mask, e.mask)
}

func (e *edge) masks(s, limit Register) {
	most := distance(e.p3, e.p2)
	VPMAXUB(distance(e.p2, e.p1), most, most)
	VPMAXUB(distance(e.q3, e.q2), most, most)
	VPMAXUB(distance(e.q2, e.q1), most, most)
	near := distance(e.p1, e.p0)
	VPMAXUB(distance(e.q1, e.q0), near, near)
	VPMAXUB(near, most, most)
	v := XMM()
	VPBROADCASTB(at(s, strengthInterior), v)
	VPSUBUSB(v, most, most)
	v = XMM()
	VPBROADCASTB(at(s, strengthThreshold), v)
	VPSUBUSB(v, near, near)
	VPOR(e.across(limit), most, most)
	zero := XMM()
	VPXOR(zero, zero, zero)
	VPCMPEQB(zero, most, most)
	VPCMPEQB(zero, near, near)
	e.mask, e.smooth = most, near
}

// flip changes between samples and their distances to 128, with sign.
func flip(rows ...VecVirtual) {
	for _, r := range rows {
		VPXOR(signs, r, r)
	}
}

// eighth divides signed bytes, plus an amount, by 8.
func eighth(w VecVirtual, plus Mem) VecVirtual {
	v := XMM()
	VPADDSB(plus, w, v)
	VPXOR(signs, v, v)
	VPSRLW(U8(3), v, v)
	VPAND(fiveBits, v, v)
	VPSUBB(sixteens, v, v)
	return v
}

// addThrice adds 3 (q0 - p0), saturated.
func (e *edge) addThrice(w VecVirtual) {
	d := XMM()
	VPSUBSB(e.p0, e.q0, d)
	for range 3 {
		VPADDSB(d, w, w)
	}
}

// two changes the samples beside the edge by w. It returns the change of q0.
func (e *edge) two(w VecVirtual) VecVirtual {
	a, b := eighth(w, fours), eighth(w, threes)
	VPSUBSB(a, e.q0, e.q0)
	VPADDSB(b, e.p0, e.p0)
	return a
}

func (e *edge) simple() {
	flip(e.p1, e.p0, e.q0, e.q1)
	w := XMM()
	VPSUBSB(e.q1, e.p1, w)
	e.addThrice(w)
	VPAND(e.mask, w, w)
	e.two(w)
	flip(e.p0, e.q0)
}

func (e *edge) inner() {
	flip(e.p1, e.p0, e.q0, e.q1)
	w := XMM()
	VPSUBSB(e.q1, e.p1, w)
	VPANDN(w, e.smooth, w)
	e.addThrice(w)
	VPAND(e.mask, w, w)
	a := e.two(w)
	// Half of it, rounded up, for the next ones: means are of numbers without sign.
	VPXOR(signs, a, a)
	zero := XMM()
	VPXOR(zero, zero, zero)
	VPAVGB(zero, a, a)
	VPSUBB(sixtyFour, a, a)
	VPAND(e.smooth, a, a)
	VPSUBSB(a, e.q1, e.q1)
	VPADDSB(a, e.p1, e.p1)
	flip(e.p1, e.p0, e.q0, e.q1)
}

func (e *edge) outer() {
	flip(e.p2, e.p1, e.p0, e.q0, e.q1, e.q2)
	w := XMM()
	VPSUBSB(e.q1, e.p1, w)
	e.addThrice(w)
	VPAND(e.mask, w, w)
	sharp := XMM()
	VPANDN(w, e.smooth, sharp)
	e.two(sharp)
	VPAND(e.smooth, w, w)
	// In words: 9 w from w in the upper byte.
	zero := XMM()
	VPXOR(zero, zero, zero)
	low, high := XMM(), XMM()
	VPUNPCKLBW(w, zero, low)
	VPUNPCKHBW(w, zero, high)
	VPMULHW(ninth, low, low)
	VPMULHW(ninth, high, high)
	sumLow, sumHigh := XMM(), XMM()
	VPADDW(rounding, low, sumLow)
	VPADDW(rounding, high, sumHigh)
	for i, rows := range [][2]VecVirtual{{e.p2, e.q2}, {e.p1, e.q1}, {e.p0, e.q0}} {
		if i > 0 {
			VPADDW(low, sumLow, sumLow)
			VPADDW(high, sumHigh, sumHigh)
		}
		a, b := XMM(), XMM()
		VPSRAW(U8(7), sumLow, a)
		VPSRAW(U8(7), sumHigh, b)
		VPACKSSWB(b, a, a)
		VPADDSB(a, rows[0], rows[0])
		VPSUBSB(a, rows[1], rows[1])
	}
	flip(e.p2, e.p1, e.p0, e.q0, e.q1, e.q2)
}
