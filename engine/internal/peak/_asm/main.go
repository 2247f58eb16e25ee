// Command asm writes the amd64 assembly of package peak:
//
//	go run . -out ../peak_amd64.s -stubs ../peak_amd64.go -pkg peak
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8/_asm/vex"
)

func main() {
	ConstraintExpr("!purego")
	wide := func(int) Op { return ZMM() }
	narrow := func(int) Op { return YMM() }
	fma := func(x, y, acc Op) { VFMADD231PS(x, y, acc) }
	loop("fmaAVX512", 28, wide, fma)
	loop("fmaAVX2", 12, narrow, fma)
	// VPMADDUBSW would multiply bytes, but saturates: exact sums need bytes widened to 16 bits, as kernel8 has them.
	loop("dotAVX2", 12, narrow, func(x, y, acc Op) {
		product := YMM()
		VPMADDWD(x, y, product)
		VPADDD(product, acc, acc)
	})
	loop("dotAVX512VNNI", 28, wide, func(x, y, acc Op) { VPDPBUSD(x, y, acc) })
	named := []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10,
		reg.Y11, reg.Y12, reg.Y13}
	loop("dotAVXVNNI", 12, func(i int) Op { return named[i] }, func(x, y, acc Op) {
		vex.Vpdpbusd(x.(reg.VecPhysical), y.(reg.VecPhysical), acc.(reg.VecPhysical))
	})
	Generate()
}

// loop writes a function that multiplies n times into as many accumulators in each turn. Nothing else happens in it, and
// there are more accumulators than multiplications under way (latency times units, 8 to 10 on CPUs known).
func loop(name string, n int, vec func(i int) Op, multiply func(x, y, acc Op)) {
	TEXT(name, NOSPLIT, "func(turns int)")
	Doc(fmt.Sprintf("%s multiplies %d vectors in each turn.", name, n))
	turns := Load(Param("turns"), GP64()).(reg.GPVirtual)
	all := make([]Op, n+2)
	for i := range all {
		all[i] = vec(i)
		VXORPS(all[i], all[i], all[i])
	}
	Label("turn")
	for _, acc := range all[2:] {
		multiply(all[0], all[1], acc)
	}
	DECQ(turns)
	JNZ(LabelRef("turn"))
	VZEROUPPER()
	RET()
}
