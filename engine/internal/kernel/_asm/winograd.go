package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograd is a minimal algorithm in two dimensions, the product of two one-dimensional ones; see package kernel.
type winograd struct {
	name          string
	rows, columns minimal
}

// minimal is a one-dimensional algorithm: in transforms size pixels, out so many sums to outputs. The two-dimensional
// transforms are columns, then rows.
type minimal struct {
	size, outputs int // pixels, which are as many as positions, and outputs
	in, out       []group
	part          []int // its positions among those of another algorithm; nil if they are its own
	of            int   // positions of that
}

// places is where its positions lie.
func (m minimal) places() []int {
	if m.part != nil {
		return m.part
	}
	return upTo(m.size)
}

// room is how many positions there are room for.
func (m minimal) room() int {
	if m.part != nil {
		return m.of
	}
	return m.size
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// group computes those values of a transform that share intermediate ones. A transform goes group by group, so that what
// it has to keep fits into registers.
type group struct {
	makes []int
	from  func(t target, x func(i int) Op, c factors) []reg.VecVirtual
}

// algorithms are those of a target: with more registers the first dimension's groups can be larger, and load less often.
func (t target) algorithms() []winograd {
	first := f4
	if t.registers == 32 {
		first.in = []group{f4.in[0], merge(f4.in[1], f4.in[2]), f4.in[3]}
		first.out = []group{merge(f4.out...)}
	}
	all := []winograd{{"4", first, f4}, {"2", f2, f2}, {"4x2", first, f2}, {"Stride2", stride2, stride2}}
	if t.lanes == 8 { // others have not been measured
		all = append(all,
			winograd{"2Low", f2part, f2}, winograd{"2Narrow", f2, f2part}, winograd{"2Small", f2part, f2part},
			winograd{"4Low", f4part, f4}, winograd{"4Narrow", first, f4part}, winograd{"4Small", f4part, f4part},
			winograd{"Stride2Low", stride2part, stride2}, winograd{"Stride2Narrow", stride2, stride2part},
			winograd{"Stride2Small", stride2part, stride2part})
	}
	return all
}

// merge makes one group of several, which loads each value once.
func merge(groups ...group) (m group) {
	for _, g := range groups {
		m.makes = append(m.makes, g.makes...)
	}
	m.from = func(t target, x func(int) Op, c factors) (all vectors) {
		loaded := map[int]Op{}
		once := func(i int) Op {
			if loaded[i] == nil {
				loaded[i] = t.load(x(i))
			}
			return loaded[i]
		}
		for _, g := range groups {
			all = append(all, g.from(t, once, c)...)
		}
		return all
	}
	return m
}

type vectors = []reg.VecVirtual

var f2 = minimal{4, 2,
	[]group{
		{[]int{0}, func(t target, d func(int) Op, _ factors) vectors { return vectors{t.sub(d(0), d(2))} }},
		{[]int{1, 2}, func(t target, d func(int) Op, _ factors) vectors {
			second := t.load(d(2))
			return vectors{t.add(second, d(1)), t.sub(second, d(1))}
		}},
		{[]int{3}, func(t target, d func(int) Op, _ factors) vectors { return vectors{t.sub(d(1), d(3))} }},
	},
	[]group{{[]int{0, 1}, func(t target, m func(int) Op, _ factors) vectors {
		first, second := t.load(m(1)), t.load(m(2))
		return vectors{t.add(t.add(first, second), m(0)), t.sub(t.sub(first, second), m(3))}
	}}},
	nil, 0,
}

// f2part is the first output of f2.
var f2part = minimal{3, 1, f2.in[:2],
	[]group{{[]int{0}, func(t target, m func(int) Op, _ factors) vectors { return vectors{t.add(t.add(m(1), m(2)), m(0))} }}},
	[]int{0, 1, 2}, 4,
}

// f4part is f2 at points of f4, in its units.
var f4part = minimal{4, 2,
	[]group{
		{[]int{0}, func(t target, d func(int) Op, c factors) vectors { return vectors{t.times(c, 4, t.sub(d(0), d(2)))} }},
		{[]int{1, 2}, func(t target, d func(int) Op, c factors) vectors {
			first, second := t.load(d(1)), t.load(d(2))
			return vectors{t.times(c, -3, t.add(first, second)), t.times(c, 3, t.sub(first, second))}
		}},
		{[]int{3}, func(t target, d func(int) Op, _ factors) vectors { return vectors{t.sub(d(3), d(1))} }},
	},
	[]group{{[]int{0, 1}, func(t target, m func(int) Op, _ factors) vectors {
		first, second := t.load(m(1)), t.load(m(2))
		return vectors{t.add(t.add(first, second), m(0)), t.add(t.sub(first, second), m(3))}
	}}},
	[]int{0, 1, 2, 5}, 6,
}

var f4 = minimal{6, 4,
	[]group{
		{[]int{0}, func(t target, d func(int) Op, c factors) vectors {
			return vectors{t.accumulate(c, t.subProduct(c, d(4), 5, d(2)), 4, d(0), VFMADD231PS)}
		}},
		{[]int{1, 2}, func(t target, d func(int) Op, c factors) vectors {
			even, odd := t.subProduct(c, d(4), 4, d(2)), t.subProduct(c, d(3), 4, d(1))
			return vectors{t.add(even, odd), t.sub(even, odd)}
		}},
		{[]int{3, 4}, func(t target, d func(int) Op, c factors) vectors {
			near, far := t.sub(d(4), d(2)), t.sub(d(3), d(1))
			far = t.add(far, far)
			return vectors{t.add(near, far), t.sub(near, far)}
		}},
		{[]int{5}, func(t target, d func(int) Op, c factors) vectors {
			return vectors{t.accumulate(c, t.subProduct(c, d(5), 5, d(3)), 4, d(1), VFMADD231PS)}
		}},
	},
	[]group{
		{[]int{0, 2}, func(t target, m func(int) Op, c factors) vectors {
			near, far := t.add(m(1), m(2)), t.add(m(3), m(4))
			return vectors{t.add(t.add(near, far), m(0)), t.addProduct(c, near, 4, far)}
		}},
		{[]int{1, 3}, func(t target, m func(int) Op, c factors) vectors {
			near, far := t.sub(m(1), m(2)), t.sub(m(3), m(4))
			return vectors{t.addProduct(c, near, 2, far), t.accumulate(c, t.add(near, m(5)), 8, far, VFMADD231PS)}
		}},
	},
	nil, 0,
}

// stride2 takes pixels of odd places, which are the first of a tile and every second from there, through F(2,2), and
// passes the others on behind them.
var stride2 = minimal{5, 2,
	[]group{
		{[]int{0, 1, 2}, func(t target, d func(int) Op, _ factors) vectors {
			middle := t.load(d(2))
			return vectors{t.sub(d(0), middle), middle, t.sub(d(4), middle)}
		}},
		{[]int{3}, func(t target, d func(int) Op, _ factors) vectors { return vectors{t.load(d(1))} }},
		{[]int{4}, func(t target, d func(int) Op, _ factors) vectors { return vectors{t.load(d(3))} }},
	},
	[]group{{[]int{0, 1}, func(t target, m func(int) Op, _ factors) vectors {
		middle := t.load(m(1))
		return vectors{t.add(t.add(middle, m(0)), m(3)), t.add(t.add(middle, m(2)), m(4))}
	}}},
	nil, 0,
}

// stride2part is the first output of stride2.
var stride2part = minimal{3, 1,
	[]group{
		{[]int{0, 1}, func(t target, d func(int) Op, _ factors) vectors {
			middle := t.load(d(2))
			return vectors{t.sub(d(0), middle), middle}
		}},
		{[]int{2}, func(t target, d func(int) Op, _ factors) vectors { return vectors{t.load(d(1))} }},
	},
	[]group{{[]int{0}, func(t target, m func(int) Op, _ factors) vectors { return vectors{t.add(t.add(m(1), m(0)), m(2))} }}},
	[]int{0, 1, 3}, 5,
}

// load brings a value into a register, if it is not in one.
func (t target) load(x Op) reg.VecVirtual {
	if r, ok := x.(reg.VecVirtual); ok {
		return r
	}
	r := t.vec()
	VMOVUPS(x, r)
	return r
}

// copyOf is load into a register of its own.
func (t target) copyOf(x Op) reg.VecVirtual {
	if _, ok := x.(Mem); ok {
		return t.load(x)
	}
	r := t.vec()
	VMOVAPS(x, r)
	return r
}

// sub returns x - y.
func (t target) sub(x, y Op) reg.VecVirtual {
	x = t.load(x)
	z := t.vec()
	VSUBPS(y, x, z)
	return z
}

// add returns x + y.
func (t target) add(x, y Op) reg.VecVirtual {
	x = t.load(x)
	z := t.vec()
	VADDPS(y, x, z)
	return z
}

// factors are constants in registers, of one stretch of code.
type factors map[float32]reg.VecVirtual

// accumulate adds the factor times y to z, or subtracts it.
func (t target) accumulate(c factors, z reg.VecVirtual, factor float32, y Op, fma func(...Op)) reg.VecVirtual {
	fma(y, c.of(t, factor), z)
	return z
}

// times multiplies x by the factor.
func (t target) times(c factors, factor float32, x reg.VecVirtual) reg.VecVirtual {
	VMULPS(c.of(t, factor), x, x)
	return x
}

// of is a factor in a register.
func (c factors) of(t target, factor float32) reg.VecVirtual {
	f, ok := c[factor]
	if !ok {
		f = t.constant(factor)
		c[factor] = f
	}
	return f
}

// addProduct returns x + factor*y.
func (t target) addProduct(c factors, x Op, factor float32, y Op) reg.VecVirtual {
	return t.accumulate(c, t.copyOf(x), factor, y, VFMADD231PS)
}

// subProduct returns x - factor*y.
func (t target) subProduct(c factors, x Op, factor float32, y Op) reg.VecVirtual {
	return t.accumulate(c, t.copyOf(x), factor, y, VFNMADD231PS)
}

// line reaches places that lie a stride apart, the first six of them.
type line struct{ stride, three, five reg.GPVirtual }

func newLine(stride reg.GPVirtual) line {
	l := line{stride, GP64(), GP64()}
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, l.three)
	LEAQ(Mem{Base: stride, Index: stride, Scale: 4}, l.five)
	return l
}

func (l line) at(base reg.GPVirtual, i int) Mem {
	m := Mem{Base: base}
	switch i {
	case 1, 2, 4:
		m.Index, m.Scale = l.stride, uint8(i)
	case 3:
		m.Index, m.Scale = l.three, 1
	case 5:
		m.Index, m.Scale = l.five, 1
	}
	return m
}

// down transforms the given columns of a tile, the first of which begins at base and is 0: the values of one group, by value and
// column. rows are where the elements of a column lie.
func (t target) down(g group, base, next reg.GPVirtual, l line, rows, columns []int) [][]reg.VecVirtual {
	values := make([][]reg.VecVirtual, len(g.makes))
	c := factors{}
	column := GP64()
	MOVQ(base, column)
	for j, here := range columns {
		for o, r := range g.from(t, func(i int) Op { return l.at(column, rows[i]) }, c) {
			values[o] = append(values[o], r)
		}
		if j < len(columns)-1 {
			for range columns[j+1] - here {
				ADDQ(next, column)
			}
		}
	}
	return values
}

// across transforms a row of values, group by group.
func (t target) across(groups []group, row []reg.VecVirtual, do func(j int, r reg.VecVirtual)) {
	c := factors{}
	for _, g := range groups {
		for o, r := range g.from(t, func(i int) Op { return row[i] }, c) {
			do(g.makes[o], r)
		}
	}
}

// input writes the transform of one tile of pixels.
func (t target) input(w winograd) {
	name := "input" + w.name + t.suffix
	TEXT(name, NOSPLIT, "func(v *float32, vs int, x *float32, rs, channels int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is inputGeneric of algorithm %s.", name, w.name))
	v, vs, x, rows := pointer("v"), stride("vs"), pointer("x"), newLine(stride("rs"))
	channels := count("channels")
	pixel := GP64() // bytes from a pixel to its right neighbor
	MOVQ(channels, pixel)
	SHLQ(Imm(2), pixel)
	Label("channel")
	to, at := GP64(), 0 // a place
	MOVQ(v, to)
	next := func() {
		ADDQ(vs, to)
		at++
	}
	for _, g := range w.rows.in { // in the order of positions
		for o, row := range t.down(g, x, pixel, rows, upTo(w.rows.size), upTo(w.columns.size)) {
			t.across(w.columns.in, row, func(j int, r reg.VecVirtual) {
				for at < w.rows.places()[g.makes[o]]*w.columns.room()+w.columns.places()[j] {
					next()
				}
				VMOVUPS(r, Mem{Base: to})
				next()
			})
		}
	}
	ADDQ(number(t.bytes()), x)
	ADDQ(number(t.bytes()), v)
	SUBQ(Imm(uint64(t.lanes)), channels)
	JNZ(LabelRef("channel"))
	VZEROUPPER()
	RET()
}

// output writes the inverse transform of one tile, with what follows a convolution.
func (t target) output(w winograd) {
	name := "output" + w.name + t.suffix
	TEXT(name, NOSPLIT,
		"func(y *float32, rs, channels, rows, columns int, m *float32, ms int, bias, residual *float32, relu int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is outputGeneric of algorithm %s.", name, w.name))
	floor := AllocLocal(t.bytes()) // what results are cut to: ReLU's zero, or nothing
	VMOVUPS(t.zero(), floor)
	CMPQ(mustParam("relu"), Imm(0))
	JNE(LabelRef("relu"))
	VMOVUPS(t.constant(float32(math.Inf(-1))), floor)
	Label("relu")

	m, ms := pointer("m"), stride("ms")
	down := GP64() // positions of one column lie a row of them apart
	IMUL3Q(number(w.columns.room()), ms, down)
	positions := newLine(down)
	pixel := stride("channels")
	y, residual := pointer("y"), pointer("residual")
	beside := GP64() // from an output to its residual, which has y's layout
	MOVQ(residual, beside)
	SUBQ(y, beside)
	bias := pointer("bias")
	Label("channel")
	for _, g := range w.rows.out {
		for o, row := range t.down(g, m, ms, positions, w.rows.places(), w.columns.places()) {
			i := g.makes[o]
			after := fmt.Sprintf("row%d", i)
			at := GP64()
			MOVQ(y, at)
			if i > 0 {
				CMPQ(mustParam("rows"), Imm(uint64(i)))
				JLE(LabelRef(after))
				rs := stride("rs")
				for range i {
					ADDQ(rs, at)
				}
			}
			t.across(w.columns.out, row, func(j int, r reg.VecVirtual) {
				id := fmt.Sprintf("%d%d", i, j)
				to := GP64()
				MOVQ(at, to)
				if j > 0 {
					CMPQ(mustParam("columns"), Imm(uint64(j)))
					JLE(LabelRef("after" + id))
					for range j {
						ADDQ(pixel, to)
					}
				}
				VADDPS(Mem{Base: bias}, r, r)
				CMPQ(mustParam("residual"), Imm(0))
				JEQ(LabelRef("store" + id))
				VADDPS(Mem{Base: to, Index: beside, Scale: 1}, r, r)
				Label("store" + id)
				VMAXPS(floor, r, r)
				VMOVUPS(r, Mem{Base: to})
				Label("after" + id)
			})
			Label(after)
		}
	}
	ADDQ(number(t.bytes()), m)
	ADDQ(number(t.bytes()), bias)
	ADDQ(number(t.bytes()), y)
	SUBQ(Imm(uint64(t.lanes)), mustParam("channels"))
	JNZ(LabelRef("channel"))
	VZEROUPPER()
	RET()
}

// mustParam is a parameter's place on the stack, for comparing without a register.
func mustParam(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}
