package engine

import (
	"fmt"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel16"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"
)

// CPU describes what this machine offers and what the engine uses of it.
type CPU struct {
	Levels     []string // names for RESNET18_CPU, from slow to fast
	FP32, Int8 string   // levels of the kernels in use
	BF16       string   // likewise; empty if there are none
	Quota      int      // CPUs granted to this process
	Auto       Choice   // what PrecisionAuto means here for weights in float32
}

// DescribeCPU inspects the machine and RESNET18_CPU. An error says that the variable names a level which the machine does
// not have; levels and quota are set nevertheless.
func DescribeCPU() (CPU, error) {
	c := CPU{Quota: cpu.Quota()}
	for _, level := range cpu.Levels() {
		c.Levels = append(c.Levels, level.String())
	}
	level, err := cpu.Best()
	if err != nil {
		return c, fmt.Errorf("choose kernels: %w", err)
	}
	c.Auto = chooseFor(level)
	c.FP32, c.Int8 = kernel.For(level).Level.String(), kernel8.For(level).Level.String()
	if k := kernel16.For(level); k != nil {
		c.BF16 = k.Level.String()
	}
	return c, nil
}
