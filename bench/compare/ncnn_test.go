package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// numbered is a ResNet-18 with batch norm folded in, whose layer n has n as its first weight and -n as its first bias, and their names
// by n.
func numbered() (*weights.Set, map[float32]string) {
	set, names := &weights.Set{Tensors: map[string]tensor.Tensor{}, Spec: spec.ImageNet()}, map[float32]string{}
	add := func(name string, out int, others ...int) {
		n := float32(len(names) + 1)
		names[n] = name
		weight, bias := tensor.New(append([]int{out}, others...)...), tensor.New(out)
		weight.Data[0], bias.Data[0] = n, -n
		set.Tensors[name+".weight"], set.Tensors[name+".bias"] = weight, bias
	}
	add("conv1", 64, 3, 7, 7)
	in := 64
	for stage, out := range []int{64, 128, 256, 512} {
		for block := range 2 {
			prefix := fmt.Sprintf("layer%d.%d.", stage+1, block)
			add(prefix+"conv1", out, in, 3, 3)
			add(prefix+"conv2", out, out, 3, 3)
			if in != out {
				add(prefix+"downsample.0", out, in, 1, 1)
			}
			in = out
		}
	}
	add("fc", 1000, 512)
	return set, names
}

// TestNCNNModel reads a model as ncnn does: each input was the output of a layer before, and is used once; a layer's weights follow
// those of the layer before, as many as its parameters say.
func TestNCNNModel(t *testing.T) {
	t.Parallel()
	set, names := numbered()
	text, bin, err := ncnnModel(set)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if got, want := lines[1], "48 56"; lines[0] != "7767517" || got != want {
		t.Errorf("the text begins with %q, %q; want %q, %q", lines[0], got, "7767517", want)
	}
	open := map[string]bool{}
	next := func() float32 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(bin))
		bin = bin[4:]
		return v
	}
	for _, line := range lines[2:] {
		fields := strings.Fields(line)
		inputs, outputs := number(t, fields[2]), number(t, fields[3])
		for _, blob := range fields[4 : 4+inputs] {
			if !open[blob] {
				t.Errorf("%q uses %s, which is no output or was used before", line, blob)
			}
			delete(open, blob)
		}
		for _, blob := range fields[4+inputs : 4+inputs+outputs] {
			open[blob] = true
		}
		parameters := map[string]int{}
		for _, field := range fields[4+inputs+outputs:] {
			key, value, _ := strings.Cut(field, "=")
			parameters[key] = number(t, value)
		}
		var size int
		switch fields[0] {
		case "Convolution":
			size = parameters["6"]
		case "InnerProduct":
			size = parameters["2"]
		default:
			continue
		}
		if kind := next(); kind != 0 {
			t.Errorf("%s: weights of kind %v, want 0", fields[1], kind)
		}
		n := next()
		if names[n] != fields[1] {
			t.Errorf("%s has the weights of %q", fields[1], names[n])
		}
		bin = bin[4*(size-1):]
		if bias := next(); bias != -n {
			t.Errorf("%s: first bias %v, want %v", fields[1], bias, -n)
		}
		bin = bin[4*(parameters["0"]-1):]
	}
	if len(bin) != 0 || len(open) != 1 || !open["logits"] {
		t.Errorf("%d bytes are left, and outputs %v", len(bin), open)
	}
	delete(set.Tensors, "layer3.0.conv2.bias")
	if _, _, err := ncnnModel(set); err == nil || !strings.Contains(err.Error(), "layer3.0.conv2") {
		t.Errorf("without a bias: %v", err)
	}
}

func TestFinite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "int8.table")
	if err := os.WriteFile(path, []byte("conv1_param_0 717.08 inf 78847361024.000000 inf\nconv1 57.29 \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := finite(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "conv1_param_0 717.08 1 78847361024.000000 1\nconv1 57.29 \n"; err != nil || string(got) != want {
		t.Errorf("table %q, %v; want %q", got, err, want)
	}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
