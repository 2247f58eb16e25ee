package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	tiles  = 6 // most rows of a product's tile
	unroll = 4 // pairs of input channels in one turn of a product's loop
)

// algorithm is a minimal filtering algorithm in one dimension, which is applied to columns, then to rows: in transforms size
// pixels, out as many sums to outputs. See package kernel8.
type algorithm struct {
	name    string // of its functions
	size    int
	in, out []group
}

// group computes those values of a transform that share intermediate ones. A transform goes group by group, so that what
// it has to keep fits into registers. Groups must not change the registers that x returns: others use them too.
type group struct {
	makes []int
	from  func(x func(i int) reg.VecVirtual) vectors
}

type vectors = []reg.VecVirtual

var f2 = algorithm{"2", 4,
	[]group{
		{[]int{0}, func(d func(int) reg.VecVirtual) vectors { return vectors{subWords(d(0), d(2))} }},
		{[]int{1, 2}, func(d func(int) reg.VecVirtual) vectors {
			first, second := d(1), d(2)
			return vectors{addWords(first, second), subWords(second, first)}
		}},
		{[]int{3}, func(d func(int) reg.VecVirtual) vectors { return vectors{subWords(d(1), d(3))} }},
	},
	[]group{{[]int{0, 1}, func(m func(int) reg.VecVirtual) vectors {
		first, second := m(1), m(2)
		return vectors{add(add(first, second), m(0)), sub(sub(first, second), m(3))}
	}}},
}

var f4 = algorithm{"4", 6,
	[]group{
		{[]int{0}, func(d func(int) reg.VecVirtual) vectors {
			second := d(2)
			return vectors{addWords(fourTimes(subWords(d(0), second)), subWords(d(4), second))}
		}},
		{[]int{1, 2}, func(d func(int) reg.VecVirtual) vectors {
			even, odd := subWords(d(4), fourTimes(d(2))), subWords(d(3), fourTimes(d(1)))
			return vectors{addWords(even, odd), subWords(even, odd)}
		}},
		{[]int{3, 4}, func(d func(int) reg.VecVirtual) vectors {
			near, far := subWords(d(4), d(2)), subWords(d(3), d(1))
			far = addWords(far, far)
			return vectors{addWords(near, far), subWords(near, far)}
		}},
		{[]int{5}, func(d func(int) reg.VecVirtual) vectors {
			third := d(3)
			return vectors{addWords(fourTimes(subWords(d(1), third)), subWords(d(5), third))}
		}},
	},
	// The order of additions is that of plain Go.
	[]group{
		{[]int{0, 2}, func(m func(int) reg.VecVirtual) vectors {
			near, far := add(m(1), m(2)), add(m(3), m(4))
			first := add(add(near, far), m(0))
			VFMADD231PS(constant(4), far, near)
			return vectors{first, near}
		}},
		{[]int{1, 3}, func(m func(int) reg.VecVirtual) vectors {
			odd, odder := sub(m(1), m(2)), sub(m(3), m(4))
			last := add(odd, m(5))
			VFMADD231PS(constant(8), odder, last)
			VFMADD231PS(constant(2), odder, odd)
			return vectors{odd, last}
		}},
	},
}

var stride2 = algorithm{"Stride2", 5,
	[]group{
		{[]int{0, 1, 2}, func(d func(int) reg.VecVirtual) vectors {
			middle := d(2)
			return vectors{subWords(d(0), middle), middle, subWords(d(4), middle)}
		}},
		{[]int{3}, func(d func(int) reg.VecVirtual) vectors { return vectors{d(1)} }},
		{[]int{4}, func(d func(int) reg.VecVirtual) vectors { return vectors{d(3)} }},
	},
	[]group{{[]int{0, 1}, func(m func(int) reg.VecVirtual) vectors {
		middle := m(1)
		return vectors{add(add(middle, m(0)), m(3)), add(add(middle, m(2)), m(4))}
	}}},
}

func winograd() {
	algorithms := []algorithm{f4, f2, stride2}
	for _, a := range algorithms {
		winogradInput(a)
	}
	for n := 1; n <= tiles; n++ {
		winogradProducts(n)
	}
	for _, a := range algorithms {
		winogradOutput(a)
	}
}

// constants are vectors of eight equal floats in read-only memory.
var constants = map[float32]Mem{}

func constant(value float32) Mem {
	m, ok := constants[value]
	if !ok {
		m = GLOBL(fmt.Sprintf("constant%g", value), attr.RODATA|attr.NOPTR)
		for i := range 8 {
			DATA(4*i, U32(math.Float32bits(value)))
		}
		constants[value] = m
	}
	return m
}

// scaled loads a parameter that counts elements of 1 << shift bytes, in bytes.
func scaled(name string, shift uint64) reg.GPVirtual {
	r := pointer(name)
	SHLQ(Imm(shift), r)
	return r
}

// three is three times a stride.
func three(stride reg.GPVirtual) reg.GPVirtual {
	r := GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, r)
	return r
}

func add(x, y reg.VecVirtual) reg.VecVirtual {
	z := YMM()
	VADDPS(y, x, z)
	return z
}

func sub(x, y reg.VecVirtual) reg.VecVirtual {
	z := YMM()
	VSUBPS(y, x, z)
	return z
}

func addWords(x, y reg.VecVirtual) reg.VecVirtual {
	z := YMM()
	VPADDW(y, x, z)
	return z
}

func subWords(x, y reg.VecVirtual) reg.VecVirtual {
	z := YMM()
	VPSUBW(y, x, z)
	return z
}

func fourTimes(x reg.VecVirtual) reg.VecVirtual {
	z := YMM()
	VPSLLW(Imm(2), x, z)
	return z
}

// steps reaches places that lie a stride apart, the first six of them.
type steps struct{ stride, three, five reg.GPVirtual }

func newSteps(stride reg.GPVirtual) steps {
	s := steps{stride, three(stride), GP64()}
	LEAQ(Mem{Base: stride, Index: stride, Scale: 4}, s.five)
	return s
}

func (s steps) at(base reg.GPVirtual, i int) Mem {
	m := Mem{Base: base}
	switch i {
	case 1, 2, 4:
		m.Index, m.Scale = s.stride, uint8(i)
	case 3:
		m.Index, m.Scale = s.three, 1
	case 5:
		m.Index, m.Scale = s.five, 1
	}
	return m
}

// down transforms columns, the first of which begins at base, next bytes apart: the values of one group, by value and
// column. load brings row i of a column into a register.
func down(g group, base, next reg.GPVirtual, columns int, load func(column reg.GPVirtual, i, j int) reg.VecVirtual) [][]reg.VecVirtual {
	values := make([][]reg.VecVirtual, len(g.makes))
	column := GP64()
	MOVQ(base, column)
	for j := range columns {
		for o, r := range g.from(func(i int) reg.VecVirtual { return load(column, i, j) }) {
			values[o] = append(values[o], r)
		}
		if j < columns-1 {
			ADDQ(next, column)
		}
	}
	return values
}

// across transforms a row of values, group by group.
func across(groups []group, row vectors, do func(j int, r reg.VecVirtual)) {
	for _, g := range groups {
		for o, r := range g.from(func(i int) reg.VecVirtual { return row[i] }) {
			do(g.makes[o], r)
		}
	}
}

// winogradInput writes the transform of one tile of pixels, 16 channels at a time.
func winogradInput(a algorithm) {
	name := fmt.Sprintf("input%sAVX2", a.name)
	TEXT(name, NOSPLIT, "func(v *int16, vs int, x *uint8, rs, channels int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is line.input of algorithm %s.", name, a.name))
	v, vs, x, rows, pixel := pointer("v"), scaled("vs", 1), pointer("x"), newSteps(pointer("rs")), pointer("channels")
	left := GP64()
	MOVQ(pixel, left)
	Label("channel")
	to := GP64()
	MOVQ(v, to)
	for _, g := range a.in { // in the order of positions
		for _, row := range down(g, x, pixel, a.size, func(column reg.GPVirtual, i, _ int) reg.VecVirtual {
			d := YMM()
			VPMOVZXBW(rows.at(column, i), d)
			return d
		}) {
			across(a.in, row, func(_ int, r reg.VecVirtual) {
				VMOVDQU(r, Mem{Base: to})
				ADDQ(vs, to)
			})
		}
	}
	ADDQ(Imm(16), x)
	ADDQ(Imm(32), v)
	SUBQ(Imm(16), left)
	JNZ(LabelRef("channel"))
	VZEROUPPER()
	RET()
}

// winogradProducts writes the product of a block: for each panel tall tiles of n rows by 16 columns, then low ones of a
// row less.
func winogradProducts(n int) {
	name := fmt.Sprintf("products%dAVX2", n)
	TEXT(name, NOSPLIT, "func(m *int32, ms int, v *int16, vs, k int, u *int16, panels, tall, low int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is Winograd.Multiply with tiles of 16 columns, the tall ones of %d rows.", name, n))
	local := AllocLocal(3 * 8)
	at := product{local, local.Offset(8), local.Offset(16)}
	SHLQ(Imm(1), param("vs"))
	SHLQ(Imm(2), param("ms"))
	SHRQ(Imm(1), param("k"))
	Label("panel")
	move(at.m, param("m"))
	move(at.v, param("v"))
	move(at.left, param("tall"))
	winogradProduct(n, "Tall", at)
	if n > 1 {
		left := pointer("low")
		TESTQ(left, left)
		JZ(LabelRef("done"))
		MOVQ(left, at.left)
		winogradProduct(n-1, "Low", at)
		Label("done")
	}
	panel := pointer("k")
	SHLQ(Imm(6), panel)
	ADDQ(panel, param("u"))
	ADDQ(number(64), param("m"))
	DECQ(param("panels"))
	JNZ(LabelRef("panel"))
	VZEROUPPER()
	RET()
}

// product is what stays in memory: where the next tile is, and how many of its height are left.
type product struct{ m, v, left Mem }

// winogradProduct writes the loop over products of n rows: two accumulators for each row; in a step a pair of input
// channels of each meets two vectors of weights.
func winogradProduct(n int, id string, p product) {
	Label("tile" + id)
	vs, u := pointer("vs"), pointer("u")
	bases := []reg.GPVirtual{load(p.v)}
	{
		after := GP64()
		IMUL3Q(Imm(uint64(n)), vs, after)
		ADDQ(bases[0], after)
		MOVQ(after, p.v)
	}
	if n > 3 {
		next := GP64()
		LEAQ(Mem{Base: bases[0], Index: three(vs), Scale: 1}, next)
		bases = append(bases, next)
	}
	at := func(tile, disp int) Mem {
		m := Mem{Base: bases[tile/3], Disp: disp}
		if tile%3 > 0 {
			m.Index, m.Scale = vs, uint8(tile%3)
		}
		return m
	}
	acc := make([][2]reg.VecVirtual, n)
	for t := range acc {
		for i := range acc[t] {
			acc[t][i] = YMM()
			VPXOR(acc[t][i], acc[t][i], acc[t][i])
		}
	}
	ahead := pointer("k") // from a panel to the next one, which is prefetched, after the last one in vain
	SHLQ(Imm(6), ahead)
	step := func(i int) {
		PREFETCHT0(Mem{Base: u, Index: ahead, Scale: 1, Disp: 64 * i})
		weight := [2]reg.VecVirtual{YMM(), YMM()}
		for j := range weight {
			VMOVDQU(Mem{Base: u, Disp: 64*i + 32*j}, weight[j])
		}
		x, product := YMM(), YMM()
		for t := range acc {
			VPBROADCASTD(at(t, 4*i), x)
			for j := range weight {
				VPMADDWD(weight[j], x, product)
				VPADDD(product, acc[t][j], acc[t][j])
			}
		}
	}
	advance := func(steps int) {
		for _, base := range bases {
			ADDQ(number(4*steps), base)
		}
		ADDQ(number(64*steps), u)
	}
	left := pointer("k")
	SUBQ(Imm(unroll), left)
	JL(LabelRef("rest" + id))
	Label("steps" + id)
	for i := range unroll {
		step(i)
	}
	advance(unroll)
	SUBQ(Imm(unroll), left)
	JGE(LabelRef("steps" + id))
	Label("rest" + id)
	ADDQ(Imm(unroll), left)
	JZ(LabelRef("store" + id))
	Label("single" + id)
	step(0)
	advance(1)
	DECQ(left)
	JNZ(LabelRef("single" + id))
	Label("store" + id)
	m, ms := load(p.m), pointer("ms")
	for t := range acc {
		for j := range acc[t] {
			VMOVDQU(acc[t][j], Mem{Base: m, Disp: 32 * j})
		}
		ADDQ(ms, m)
	}
	MOVQ(m, p.m)
	DECQ(p.left)
	JNZ(LabelRef("tile" + id))
}

// winogradOutput writes the transform of one tile of sums, eight channels at a time, and what follows them.
func winogradOutput(a algorithm) {
	name := fmt.Sprintf("output%sAVX2", a.name)
	TEXT(name, NOSPLIT, "func(y *uint8, rs, channels, rows, columns int, m *int32, ms int, mul, bias *float32, residual *uint8, residualMul float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is line.output of algorithm %s.", name, a.name))
	factors := AllocLocal(32) // residualMul, eight times
	factor := YMM()
	VBROADCASTSS(param("residualMul"), factor)
	VMOVUPS(factor, factors)
	m, ms := pointer("m"), scaled("ms", 2)
	positions := GP64() // from one row of them to the next
	IMUL3Q(Imm(uint64(a.size)), ms, positions)
	rows := newSteps(positions)
	y, mul, bias := pointer("y"), pointer("mul"), pointer("bias")
	left := GP64()
	MOVQ(param("channels"), left)
	Label("channel")
	for _, g := range a.out {
		for o, row := range down(g, m, ms, a.size, func(column reg.GPVirtual, i, j int) reg.VecVirtual {
			sum := YMM()
			VCVTDQ2PS(rows.at(column, i), sum)
			VMULPS(Mem{Base: mul, Disp: 32 * (i*a.size + j)}, sum, sum)
			return sum
		}) {
			i := g.makes[o]
			after := fmt.Sprintf("row%d", i)
			at := GP64()
			MOVQ(y, at)
			if i > 0 {
				CMPQ(param("rows"), Imm(uint64(i)))
				JLE(LabelRef(after))
				rs := pointer("rs")
				for range i {
					ADDQ(rs, at)
				}
			}
			across(a.out, row, func(j int, sum reg.VecVirtual) {
				id := fmt.Sprintf("%d%d", i, j)
				to := GP64()
				MOVQ(at, to)
				if j > 0 {
					CMPQ(param("columns"), Imm(uint64(j)))
					JLE(LabelRef("after" + id))
					for range j {
						ADDQ(param("channels"), to)
					}
				}
				VADDPS(Mem{Base: bias}, sum, sum)
				residual := pointer("residual")
				TESTQ(residual, residual)
				JZ(LabelRef("store" + id))
				ADDQ(to, residual) // it has y's layout
				SUBQ(param("y"), residual)
				r := YMM()
				VPMOVZXBD(Mem{Base: residual}, r)
				VCVTDQ2PS(r, r)
				VMULPS(factors, r, r)
				VADDPS(r, sum, sum)
				Label("store" + id)
				storeBytes(sum, Mem{Base: to})
				Label("after" + id)
			})
			Label(after)
		}
	}
	ADDQ(Imm(32), m)
	ADDQ(Imm(32), bias)
	ADDQ(number(32*a.size*a.size), mul)
	ADDQ(Imm(8), y)
	SUBQ(Imm(8), left)
	JNZ(LabelRef("channel"))
	VZEROUPPER()
	RET()
}

// param is a parameter's place on the stack, for use without a register.
func param(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}
