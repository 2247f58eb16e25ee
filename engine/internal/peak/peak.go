// Package peak multiplies registers and does nothing else, to measure the peak rate of the CPU's multipliers for package
// measure.
package peak

import "github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"

//go:generate sh -c "cd _asm && go run . -out ../peak_amd64.s -stubs ../peak_amd64.go -pkg peak"
//go:generate sh -c "go run ./_neon > peak_arm64.s"

// Loop is a loop of multiplications.
type Loop struct {
	Run  func(turns int) // turns must be 1 or more
	MACs int             // multiplications and additions of scalars in a turn
}

// FP32 is the loop of float32 multiplications for a level; false if there is none.
func FP32(level cpu.Level) (Loop, bool) { return best(level, fp32) }

// Int8 is the loop of multiplications of unsigned with signed bytes, with exact sums of 32 bits, for a level; false if there
// is none.
func Int8(level cpu.Level) (Loop, bool) { return best(level, int8s) }

// BF16 is the loop of multiplications of bf16 numbers, with sums in float32, for a level; false if there is none.
func BF16(level cpu.Level) (Loop, bool) { return best(level, bf16s) }

// leveled is a loop and the level it needs.
type leveled struct {
	cpu.Level
	Loop
}

// best is the last loop in a rising order that the level includes.
func best(level cpu.Level, loops []leveled) (l Loop, ok bool) {
	for _, x := range loops {
		if level.Includes(x.Level) {
			l, ok = x.Loop, true
		}
	}
	return l, ok
}
