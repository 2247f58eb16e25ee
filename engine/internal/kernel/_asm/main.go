// Command asm writes the amd64 assembly of package kernel, one level a run:
//
//	go run . -level avx512 -out ../avx512_amd64.s -stubs ../avx512_amd64.go -pkg kernel
//
// One program serves both levels; a target holds what differs between them.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// target is what a SIMD level offers.
type target struct {
	suffix    string // of function names
	lanes     int    // floats in a vector
	pixels    int    // most rows of a tile
	registers int
	streams   int // in which the weights that are next are fetched
	vec       func() reg.VecVirtual
}

var targets = map[string]target{
	"avx2":   {"AVX2", 8, 6, 16, 2, YMM},
	"avx512": {"AVX512", 16, 14, 32, 1, ZMM},
}

func main() {
	level := flag.String("level", "", "avx2 or avx512")
	t, ok := targets[parse(level)]
	if !ok {
		log.Fatalf("-level %q: want avx2 or avx512", *level)
	}
	ConstraintExpr("!purego")
	for n := 1; n <= t.pixels; n++ {
		t.tiles(floats, n)
	}
	if t.lanes == 8 { // AVX-512's has not been measured
		for n := 1; n <= t.pixels; n++ {
			t.tiles(words, n)
		}
	}
	for _, w := range t.algorithms() {
		t.input(w)
		t.output(w)
	}
	t.stemOutput()
	if t.lanes == 8 {
		stemInput(t)
		t.gridColumns()
		t.gridMultiply(5)
		t.gridMultiply(6)
		t.gridOutput()
	}
	t.maxPool()
	Generate()
}

// parse reads the flags, avo's own among them, and returns the level.
func parse(level *string) string {
	flag.Parse()
	return *level
}

// stride loads a parameter that counts floats and turns it into bytes.
func stride(name string) reg.GPVirtual {
	r := Load(Param(name), GP64()).(reg.GPVirtual)
	SHLQ(Imm(2), r)
	return r
}

// pointer loads a parameter that is an address.
func pointer(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// count loads a parameter that is a plain number.
func count(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

func (t target) bytes() int { return 4 * t.lanes }

// constants are those in read-only memory; each is written once.
var constants = map[float32]Mem{}

// constant broadcasts a float from read-only memory.
func (t target) constant(value float32) reg.VecVirtual {
	m, ok := constants[value]
	if !ok {
		m = ConstData(fmt.Sprintf("constant%d%s", len(constants), t.suffix), U32(math.Float32bits(value)))
		constants[value] = m
	}
	v := t.vec()
	VBROADCASTSS(m, v)
	return v
}

// zero makes a vector of zeros.
func (t target) zero() reg.VecVirtual {
	v := t.vec()
	if t.lanes == 16 {
		VPXORQ(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
	return v
}

// number is an immediate operand of the width that additions take: avo's own Imm picks 16 bits too.
func number(n int) Op {
	if n < 128 {
		return I8(n)
	}
	return U32(n)
}
