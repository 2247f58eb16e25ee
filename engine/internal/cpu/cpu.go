// Package cpu detects what this machine offers: the SIMD level, by which kernels are chosen, and the number of CPUs.
package cpu

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Level is a set of instructions that kernels are written for. The zero value is Generic, plain Go.
type Level int

// The levels, from slow to fast for each architecture.
const (
	Generic    Level = iota
	AVX2             // amd64: AVX2 and FMA
	AVXVNNI          // amd64: AVX2 and an 8-bit dot product, on CPUs whose AVX-512 is missing or switched off
	AVX512           // amd64: AVX-512 F, BW, DQ and VL
	AVX512VNNI       // amd64: AVX512 and its 8-bit dot product
	NEON             // arm64: always present
	DotProd          // arm64: NEON and the 8-bit dot product of Armv8.2
	I8MM             // arm64: DotProd and the 8-bit matrix product of Armv8.6
	BF16             // arm64: I8MM and the matrix product of bfloat16 numbers, as CPUs of Armv8.6 have both
)

var names = [...]string{"generic", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "dotprod", "i8mm", "bf16"}

// extends is the level that each level extends. It is a tree: neither AVXVNNI nor AVX512 includes the other.
//
// See docs/decisions/0013-levels-are-a-tree.md.
var extends = [...]Level{AVX2: Generic, AVXVNNI: AVX2, AVX512: AVX2, AVX512VNNI: AVX512, NEON: Generic, DotProd: NEON, I8MM: DotProd,
	BF16: I8MM}

// String returns the level's name in RESNET18_CPU.
func (l Level) String() string { return names[l] }

// Includes reports whether a CPU of level l can run what is written for level m.
func (l Level) Includes(m Level) bool {
	for l != m && l != Generic {
		l = extends[l]
	}
	return l == m
}

// Variable is the environment variable that forces a lower level than the CPU has.
const Variable = "RESNET18_CPU"

// Levels lists the levels of this CPU, Generic first and the best last. With the build tag purego there is only Generic.
var Levels = sync.OnceValue(func() []Level { return append([]Level{Generic}, detect()...) })

// Best returns the level to use: the highest of Levels, or the one named by RESNET18_CPU. A level that is unknown or
// that this CPU lacks is an error, which lists the available ones.
var Best = sync.OnceValues(func() (Level, error) { return choose(os.Getenv(Variable), Levels()) })

// Require returns an error if a level, which is wanted for what, is not included in the one in use. It says which levels there are.
func Require(what string, level Level) error {
	best, err := Best()
	if err != nil || best.Includes(level) {
		return err
	}
	return missing(what, level, best, Levels())
}

func missing(what string, level, best Level, levels []Level) error {
	hint := ""
	if slices.Contains(levels, level) {
		hint = fmt.Sprintf(", of which %s=%s allows only some", Variable, best)
	}
	return fmt.Errorf("%s needs a CPU with the level %s; this CPU (%s) has %s%s", what, level, runtime.GOARCH, list(levels), hint)
}

// list is the names of levels.
func list(levels []Level) string {
	var names []string
	for _, l := range levels {
		names = append(names, l.String())
	}
	return strings.Join(names, ", ")
}

func choose(name string, levels []Level) (Level, error) {
	if name == "" {
		return levels[len(levels)-1], nil
	}
	if i := slices.IndexFunc(levels, func(l Level) bool { return l.String() == name }); i >= 0 {
		return levels[i], nil
	}
	return Generic, fmt.Errorf("%s=%s: this CPU (%s) has %s", Variable, name, runtime.GOARCH, list(levels))
}
