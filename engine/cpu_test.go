package engine

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestDescribeCPU(t *testing.T) {
	t.Parallel()
	c, err := DescribeCPU()
	if err != nil {
		t.Fatal(err)
	}
	if c.Quota < 1 || !slices.Contains(c.Levels, c.FP32) || !slices.Contains(c.Levels, c.Int8) {
		t.Errorf("DescribeCPU() = %+v, want kernels of its levels and a CPU at least", c)
	}
}

// TestDescribeCPUForced asks in a process of its own, as the variable is read once.
func TestDescribeCPUForced(t *testing.T) {
	t.Parallel()
	if os.Getenv("RESNET18_CPU") == "fastest" {
		c, err := DescribeCPU()
		if err == nil || !strings.Contains(err.Error(), "RESNET18_CPU=fastest: this CPU") || len(c.Levels) == 0 || c.Quota < 1 {
			t.Errorf("DescribeCPU() = %+v, %v", c, err)
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDescribeCPUForced$")
	cmd.Env = append(os.Environ(), "RESNET18_CPU=fastest")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
