// Command asm writes the amd64 assembly of package prefetch:
//
//	go run . -out ../prefetch_amd64.s -stubs ../prefetch_amd64.go -pkg prefetch
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func main() {
	ConstraintExpr("!purego")
	TEXT("lines", NOSPLIT, "func(first *byte, n int)")
	Pragma("noescape")
	Doc("lines prefetches n cache lines, at least one, from the one that has the first byte on.")
	first, n := Load(Param("first"), GP64()), Load(Param("n"), GP64())
	Label("line")
	PREFETCHT1(Mem{Base: first})
	ADDQ(I8(64), first)
	DECQ(n)
	JNZ(LabelRef("line"))
	RET()
	Generate()
}
