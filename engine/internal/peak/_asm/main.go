// Command asm writes the amd64 assembly of package peak:
//
//	go run . -out ../peak_amd64.s -stubs ../peak_amd64.go -pkg peak
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	fma := func(x, y, acc reg.VecVirtual) { VFMADD231PS(x, y, acc) }
	loop("fmaAVX512", 28, ZMM, fma)
	loop("fmaAVX2", 12, YMM, fma)
	loop("dotAVX512VNNI", 28, ZMM, func(x, y, acc reg.VecVirtual) { VPDPBUSD(x, y, acc) })
	Generate()
}

// loop writes a function that multiplies n times into as many accumulators in each turn. Nothing else happens in it, and
// there are more accumulators than multiplications under way (latency times units, 8 to 10 on CPUs known).
func loop(name string, n int, vec func() reg.VecVirtual, multiply func(x, y, acc reg.VecVirtual)) {
	TEXT(name, NOSPLIT, "func(turns int)")
	Doc(fmt.Sprintf("%s multiplies %d vectors in each turn.", name, n))
	turns := Load(Param("turns"), GP64()).(reg.GPVirtual)
	all := make([]reg.VecVirtual, n+2)
	for i := range all {
		all[i] = vec()
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
