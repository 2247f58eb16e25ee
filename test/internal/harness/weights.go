package harness

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

// WriteRandomWeights writes the safetensors file of an untrained ResNet-18, always the same.
func WriteRandomWeights(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	err = safetensors.Write(file, &safetensors.Content{Tensors: randomTensors()})
	return errors.Join(err, file.Close())
}

// randomTensors are the tensors of an untrained ResNet-18.
func randomTensors() map[string]tensor.Tensor {
	tensors := make(map[string]tensor.Tensor)
	random := rand.New(rand.NewPCG(1, 2))
	add := func(name string, value func() float32, shape ...int) {
		size := 1
		for _, n := range shape {
			size *= n
		}
		data := make([]float32, size)
		for i := range data {
			data[i] = value()
		}
		tensors[name] = tensor.Tensor{Shape: shape, Data: data}
	}
	constant := func(v float32) func() float32 { return func() float32 { return v } }
	conv := func(name, norm string, out, in, size int) {
		add(name+".weight", func() float32 { return float32(random.NormFloat64()) / float32(size*size*in) }, out, in, size, size)
		for field, v := range map[string]float32{"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1} {
			add(norm+"."+field, constant(v), out)
		}
	}
	conv("conv1", "bn1", 64, 3, 7)
	in := 64
	for layer, out := range []int{64, 128, 256, 512} {
		for block := range 2 {
			name := fmt.Sprintf("layer%d.%d", layer+1, block)
			conv(name+".conv1", name+".bn1", out, in, 3)
			conv(name+".conv2", name+".bn2", out, out, 3)
			if in != out {
				conv(name+".downsample.0", name+".downsample.1", out, in, 1)
			}
			in = out
		}
	}
	add("fc.weight", func() float32 { return float32(random.NormFloat64()) }, 1000, 512)
	add("fc.bias", constant(0), 1000)
	return tensors
}
