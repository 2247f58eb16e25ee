package recognize

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// conv is a convolution of ResNet-18 and the batch norm after it, by torchvision's names.
type conv struct {
	name, norm      string
	out, in, kernel int
}

// convs are the 20 convolutions of ResNet-18: the stem, then four layers of two blocks of two, of which the last three begin
// with a third convolution beside them.
var convs = func() []conv {
	all := []conv{{"conv1", "bn1", 64, 3, 7}}
	in := 64
	for layer := 1; layer <= 4; layer++ {
		out := 32 << layer
		for block := range 2 {
			at := fmt.Sprintf("layer%d.%d.", layer, block)
			all = append(all, conv{at + "conv1", at + "bn1", out, in, 3}, conv{at + "conv2", at + "bn2", out, out, 3})
			if in != out {
				all = append(all, conv{at + "downsample.0", at + "downsample.1", out, in, 1})
			}
			in = out
		}
	}
	return all
}()

// The tensors of a batch norm.
var norms = []string{".weight", ".bias", ".running_mean", ".running_var"}

// body returns the backbone's tensors if they are those of ResNet-18. Convolutions without batch norm have a bias instead, into
// which it was folded.
func (f *finding) body() (map[string]raw.Lazy, error) {
	tensors := map[string]raw.Lazy{}
	take := func(name string, shape ...int) error {
		t, ok := f.backbone[name]
		switch {
		case !ok:
			return fmt.Errorf("%s is missing%s: the file is incomplete; save the model's whole state_dict()", name, f.naming())
		case !slices.Equal(t.Shape, shape):
			return fmt.Errorf("%s has shape %v, want %v as in ResNet-18: %s", f.called(name), t.Shape, shape, otherwise)
		case !t.Float:
			return fmt.Errorf("%s is not of floating-point numbers: if the model is quantized, save it before that", f.called(name))
		}
		tensors[name] = t
		return nil
	}
	var wrong error
	keep := func(err error) {
		if wrong == nil {
			wrong = err
		}
	}
	for _, c := range convs {
		keep(take(c.name+".weight", c.out, c.in, c.kernel, c.kernel))
		bias, biased := f.backbone[c.name+".bias"]
		if biased {
			keep(take(c.name+".bias", c.out))
		}
		if biased && !f.hasNorm(c.norm) {
			continue
		}
		for _, member := range norms {
			keep(take(c.norm+member, c.out))
		}
		if biased && wrong == nil {
			tensors[c.norm+".running_mean"] = shifted(tensors[c.norm+".running_mean"], bias)
			delete(tensors, c.name+".bias")
		}
	}
	var unknown []string
	for name := range f.backbone {
		if _, ok := tensors[name]; !ok && !strings.HasSuffix(name, ".bias") {
			unknown = append(unknown, f.called(name))
		}
	}
	if wrong == nil && len(unknown) == 0 {
		return tensors, nil
	}
	if err := f.relative(); err != nil {
		return nil, err
	}
	if wrong != nil {
		return nil, wrong
	}
	return nil, fmt.Errorf("this is not ResNet-18: it has %s as well; %s", some(unknown), otherwise)
}

// hasNorm reports whether the file has any tensor of a batch norm.
func (f *finding) hasNorm(norm string) bool {
	return slices.ContainsFunc(norms, func(member string) bool { _, ok := f.backbone[norm+member]; return ok })
}

// called returns torchvision's name of a tensor, and what the file calls it if that differs.
func (f *finding) called(name string) string {
	if stored := f.stored[name]; stored != name {
		return fmt.Sprintf("%s (in the file: %s)", name, stored)
	}
	return name
}

// naming says how the file names its tensors, as a remark on a name of torchvision's; empty if by that.
func (f *finding) naming() string {
	switch {
	case f.scheme.name != "torchvision":
		return fmt.Sprintf(" (torchvision's name; the file has those of %s)", f.scheme.name)
	case f.prefix != "":
		return fmt.Sprintf(" (under %s)", f.prefix)
	}
	return ""
}

// shifted returns the running mean of a batch norm into which the bias of the convolution before it is moved: the norm
// subtracts its mean, so mean - bias does the work of both.
func shifted(mean, bias raw.Lazy) raw.Lazy {
	return raw.Lazy{Shape: mean.Shape, Float: true, Read: sync.OnceValues(func() ([]float32, error) {
		m, err := mean.Read()
		if err != nil {
			return nil, err
		}
		b, err := bias.Read()
		if err != nil {
			return nil, err
		}
		out := make([]float32, len(m))
		for i := range out {
			out[i] = float32(float64(m[i]) - float64(b[i]))
		}
		return out, nil
	})}
}

// blocks counts the blocks of layers 1 to 4, and reports whether there are other layers.
func (f *finding) blocks() (counts [4]int, others bool) {
	for name := range f.backbone {
		var layer, block int
		if n, _ := fmt.Sscanf(name, "layer%d.%d.", &layer, &block); n != 2 {
			continue
		}
		if layer < 1 || layer > len(counts) {
			others = true
			continue
		}
		counts[layer-1] = max(counts[layer-1], block+1)
	}
	return counts, others
}

// names are those of the backbone, in torchvision's form, and the file's names of the rest without the prefix.
func (f *finding) names() []string {
	names := slices.Collect(maps.Keys(f.backbone))
	for name := range f.rest {
		names = append(names, strings.TrimPrefix(name, f.prefix))
	}
	slices.Sort(names)
	return names
}
