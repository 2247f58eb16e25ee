package teach

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"path/filepath"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/pth"
	"github.com/resnet18cloud/resnet18cloud/model"
)

// LabelsBeside is the file with the labels of an exported checkpoint: signs.labels.json for signs.pth. A state dict has no place
// for them that load_state_dict accepts. It is a JSON list in the order of the outputs, which any label can be in.
func LabelsBeside(export string) string {
	return strings.TrimSuffix(export, filepath.Ext(export)) + ".labels.json"
}

// writeExport writes the checkpoint and its labels.
func (l *Lesson) writeExport(path string, backbone *weights.Set) error {
	tensors, err := l.export(backbone)
	if err != nil {
		return err
	}
	labels, err := json.MarshalIndent(l.Classes, "", "  ")
	if err != nil {
		return err
	}
	err = model.WriteFile(LabelsBeside(path), func(w io.Writer) error { _, err := w.Write(append(labels, '\n')); return err })
	if err != nil {
		return err
	}
	return model.WriteFile(path, func(w io.Writer) error { return pth.Write(w, tensors) })
}

// export is the state dict of torchvision's resnet18 with the head for features as they are.
func (l *Lesson) export(backbone *weights.Set) (map[string]tensor.Tensor, error) {
	if len(backbone.Int8) > 0 {
		return nil, errors.New("the network is quantized, and PyTorch's is not: teach on one in float32")
	}
	all := withHead(backbone.Tensors, l.unscaled.head)
	for name, bias := range maps.Collect(maps.All(all)) {
		conv, ok := strings.CutSuffix(name, ".bias")
		if norm := normOf(conv); ok && norm != "" {
			delete(all, name)
			identity(all, norm, bias)
		}
	}
	return all, nil
}

// normOf is torchvision's name of the batch norm after a convolution; empty for other names.
func normOf(conv string) string {
	if before, ok := strings.CutSuffix(conv, "downsample.0"); ok {
		return before + "downsample.1"
	}
	if i := strings.LastIndex(conv, "conv"); i >= 0 {
		return conv[:i] + "bn" + conv[i+len("conv"):]
	}
	return ""
}

// identity puts a batch norm that only adds a bias: files that have it folded into the convolutions have no other, and
// torchvision's network has one.
func identity(all map[string]tensor.Tensor, norm string, bias tensor.Tensor) {
	const epsilon = 1e-5 // torchvision's, which is added to the variance
	scale, mean, variance := tensor.New(len(bias.Data)), tensor.New(len(bias.Data)), tensor.New(len(bias.Data))
	for i := range bias.Data {
		scale.Data[i], variance.Data[i] = float32(math.Sqrt(1+epsilon)), 1
	}
	all[norm+".weight"], all[norm+".bias"], all[norm+".running_mean"], all[norm+".running_var"] = scale, bias, mean, variance
}
