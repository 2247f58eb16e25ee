package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The layout of a group of six tiles; see package kernel's stemgrid.go. In bytes.
const (
	gridPixels         = 4 * 40         // a tile's transformed row
	gridPanel          = 4 * 16         // sums of a tile
	gridTile           = 6 * gridPanel  // of a position
	gridDeep, gridEdge = 4 * 76, 4 * 40 // values of a position
	gridRow            = 36 * gridDeep  // where those of the last row's positions begin, of the last column's, and of the corner
	gridColumn         = gridRow + 6*gridEdge
	gridCorner         = gridColumn + 6*gridEdge
)

// gridColumns writes the transform of the columns of some tiles, whose rows are transformed.
func (t target) gridColumns() {
	TEXT("gridColumns"+t.suffix, NOSPLIT, "func(v, x *float32, rs, tiles int)")
	Pragma("noescape")
	Doc("gridColumns" + t.suffix + " is gridColumnsGeneric.")
	v, even, stride, tiles := pointer("v"), pointer("x"), stride("rs"), count("tiles")
	odd := GP64()
	LEAQ(Mem{Base: even, Index: stride, Scale: 1}, odd)
	ADDQ(stride, stride)
	rows := newLine(stride)
	at := func(base reg.GPVirtual, first, column int) func(int) Op {
		return func(i int) Op {
			i += first
			m := rows.at(base, i)
			if i == 6 {
				m.Index, m.Scale = rows.three, 2
			}
			m.Disp = 4 * 6 * column
			return m
		}
	}
	half := t.constant(0.5)
	c := factors{}
	deep, edge := GP64(), GP64() // of a tile: those of other depths begin elsewhere
	MOVQ(v, deep)
	LEAQ(Mem{Base: v, Disp: gridRow}, edge)
	corner := GP64()
	LEAQ(Mem{Base: v, Disp: gridCorner}, corner)
	Label("tile")
	for column := range 7 {
		to, step, width, last := deep, 6*gridDeep, 6, Mem{Base: edge, Disp: column * gridEdge}
		if column == 6 {
			to, step, width, last = edge, gridEdge, 3, Mem{Base: corner}
		}
		place := func(position int) Mem {
			if column == 6 {
				return Mem{Base: to, Disp: gridColumn - gridRow + position*step}
			}
			return Mem{Base: to, Disp: column*gridDeep + position*step}
		}
		store := func(r reg.VecVirtual, m Mem) {
			if column == 6 {
				VMOVUPS(r.AsX(), m)
			} else {
				VMOVUPS(r, m)
			}
		}
		for _, g := range f4.in {
			here, after := g.from(t, at(even, 0, column), c), g.from(t, at(even, 1, column), c)
			for o, r := range here {
				if g.makes[o] == 5 {
					store(r, last)
				}
				VFNMADD231PS(half, r, after[o])
				store(after[o], place(g.makes[o]))
			}
		}
		for _, g := range f4.in {
			for o, r := range g.from(t, at(odd, 0, column), c) {
				m := place(g.makes[o])
				m.Disp += 4 * width
				store(r, m)
			}
		}
	}
	ADDQ(number(4*12), deep)
	ADDQ(number(4*6), edge)
	ADDQ(number(4*3), corner)
	ADDQ(number(gridPixels), even)
	ADDQ(number(gridPixels), odd)
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// gridMultiply writes the products of a group of n tiles with a panel of weights.
func (t target) gridMultiply(n int) {
	name := fmt.Sprintf("gridMultiply%d%s", n, t.suffix)
	TEXT(name, NOSPLIT, "func(m, v, u *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is gridMultiplyGeneric of %d tiles.", name, n))
	m, v, u := pointer("m"), pointer("v"), pointer("u")
	left := GP64()
	for _, part := range []struct {
		id                       string
		positions, depth, stride int
	}{{"deep", 36, 12, gridDeep}, {"edge", 12, 6, gridEdge}, {"corner", 1, 3, 0}} {
		if part.positions > 1 {
			MOVQ(U32(part.positions), left)
			Label(part.id)
		}
		var sums [][2]reg.VecVirtual
		for range n {
			sums = append(sums, [2]reg.VecVirtual{t.vec(), t.vec()})
		}
		for i := range part.depth {
			w := [2]reg.VecVirtual{t.vec(), t.vec()}
			for h := range w {
				VMOVUPS(Mem{Base: u, Disp: (2*i + h) * t.bytes()}, w[h])
			}
			for p := range n {
				x := t.vec()
				VBROADCASTSS(Mem{Base: v, Disp: 4 * (p*part.depth + i)}, x)
				for h := range w {
					if i == 0 {
						VMULPS(x, w[h], sums[p][h])
					} else {
						VFMADD231PS(x, w[h], sums[p][h])
					}
				}
			}
		}
		for p := range n {
			for h := range 2 {
				VMOVUPS(sums[p][h], Mem{Base: m, Disp: (2*p + h) * t.bytes()})
			}
		}
		if part.positions > 1 {
			ADDQ(U32(part.stride), v)
			ADDQ(U32(part.depth*2*t.bytes()), u)
			ADDQ(U32(gridTile), m)
			DECQ(left)
			JNZ(LabelRef(part.id))
		}
	}
	VZEROUPPER()
	RET()
}

// gridOutput writes the inverse transform of a group of tiles.
func (t target) gridOutput() {
	TEXT("gridOutput"+t.suffix, 0, // its frame is too large for NOSPLIT
		"func(y0, y1, y2, y3, m, bias *float32, tiles int)")
	Pragma("noescape")
	Doc("gridOutput" + t.suffix + " is gridOutputGeneric.")
	const pixel = 64 * 4
	y := [4]reg.GPVirtual{pointer("y0"), pointer("y1"), pointer("y2"), pointer("y3")}
	m, bias, tiles := pointer("m"), pointer("bias"), count("tiles")
	middle := AllocLocal(4 * 7 * t.bytes())
	place := func(row, column int) Mem {
		switch {
		case row < 6 && column < 6:
			return Mem{Base: m, Disp: (6*row + column) * gridTile}
		case row == 6 && column == 6:
			return Mem{Base: m, Disp: 48 * gridTile}
		case row == 6:
			return Mem{Base: m, Disp: (36 + column) * gridTile}
		}
		return Mem{Base: m, Disp: (42 + row) * gridTile}
	}
	c := t.stemFactors()
	Label("tile")
	left := GP64()
	MOVQ(U32(gridPanel/t.bytes()), left)
	Label("channel")
	for column := range 7 {
		t.stemBack(c, func(i int) Op { return place(i, column) }, func(i int, r reg.VecVirtual) {
			VMOVUPS(r, middle.Offset((7*i+column)*t.bytes()))
		})
	}
	zero := t.zero()
	for row := range 4 {
		t.stemBack(c, func(i int) Op { return middle.Offset((7*row + i) * t.bytes()) }, func(i int, r reg.VecVirtual) {
			VADDPS(Mem{Base: bias}, r, r)
			VMAXPS(zero, r, r)
			VMOVUPS(r, Mem{Base: y[row], Disp: pixel * i})
		})
	}
	for _, p := range []reg.GPVirtual{y[0], y[1], y[2], y[3], m, bias} {
		ADDQ(number(t.bytes()), p)
	}
	DECQ(left)
	JNZ(LabelRef("channel"))
	SUBQ(number(gridPanel), bias)
	for _, p := range y {
		ADDQ(U32(4*pixel-gridPanel), p)
	}
	DECQ(tiles)
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}
