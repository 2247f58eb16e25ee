package engine

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

// int8Speed is how many times as fast int8 is as fp32 on one core, by the level of the CPU. docs/performance.md has the
// measurements. Levels of arm64 are missing: they have not been measured, and neither has bf16 anywhere.
var int8Speed = map[cpu.Level]float64{cpu.Generic: 0.8, cpu.AVX2: 1.5, cpu.AVXVNNI: 2.1, cpu.AVX512: 0.5, cpu.AVX512VNNI: 2.1}

// minInt8Speed is the least speed for which PrecisionAuto calibrates int8: less is not worth labels that differ.
const minInt8Speed = 1.15

// Choice is a precision and why it is used.
type Choice struct{ Precision, Why string }

// chooseFor is what PrecisionAuto means at a level for weights in float32 that can be calibrated.
func chooseFor(level cpu.Level) Choice {
	speed, measured := int8Speed[level]
	switch {
	case !measured:
		what := "the speed of int8 has"
		if level.Includes(cpu.BF16) {
			what = "the speeds of int8 and bf16 have"
		}
		return Choice{PrecisionFP32, fmt.Sprintf("%s not been measured with %s", what, level)}
	case speed >= minInt8Speed:
		return Choice{PrecisionInt8, fmt.Sprintf("with %s it is %.1f times as fast as fp32", level, speed)}
	default:
		return Choice{PrecisionFP32, fmt.Sprintf("with %s int8 is %.1f times as fast", level, speed)}
	}
}

// choose is what PrecisionAuto means for a configuration.
//
// See docs/decisions/0150-auto-takes-the-faster-precision.md.
func (c Config) choose() Choice {
	level, err := cpu.Best()
	switch {
	case c.quantized():
		return Choice{PrecisionInt8, "the weights are quantized"}
	case c.Weights == nil:
		return Choice{PrecisionFP32, "the weights are random"}
	case c.Weights.Spec.Head.Classes == 0:
		return Choice{PrecisionFP32, "the model has no labels by which int8 could be checked"}
	case c.Observe == nil:
		return Choice{PrecisionFP32, "the weights are not quantized"}
	case err != nil: // New will say so
		return Choice{PrecisionFP32, err.Error()}
	default:
		return chooseFor(level)
	}
}

// reason is what PrecisionAuto chose, and why; empty if the precision was given.
func (c Config) reason() string {
	switch {
	case c.why == "":
		return ""
	case c.observes():
		return c.Precision + " once its labels are shown to agree: " + c.why
	default:
		return c.Precision + ": " + c.why
	}
}
