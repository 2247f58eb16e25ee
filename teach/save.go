package teach

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
	"github.com/resnet18cloud/resnet18cloud/model"
	"github.com/resnet18cloud/resnet18cloud/teach/fit"
)

// The keys of the metadata that a taught model has beside those of every converted one.
const (
	metaBackbone = "backbone" // identity of the network that made the features
	metaTaught   = "taught"   // how, for people
)

// describe is the description of the taught model.
func (l *Lesson) describe() spec.Model {
	head := spec.Linear(len(l.Classes))
	head.Normalize = featureLength
	head.Unknown = spec.Unknown{Neighbors: l.Neighbors, Threshold: l.Threshold}
	return spec.Model{Labels: l.Classes, Head: head, Preprocess: l.Chosen.Preprocess}
}

// content is the model file: a network with the new head.
func (l *Lesson) content(backbone *weights.Set, name string, seed uint64) (*safetensors.Content, error) {
	taught := *backbone
	taught.Spec = l.describe()
	if err := taught.Spec.Validate(); err != nil {
		return nil, err
	}
	taught.Tensors = withHead(backbone.Tensors, l.head)
	taught.Tensors[spec.KnownTensor] = l.known
	metadata, err := model.Metadata(&taught)
	if err != nil {
		return nil, err
	}
	metadata[weights.MetaWeights] = name
	metadata[metaBackbone] = backbone.Identity()
	metadata[metaTaught] = fmt.Sprintf("%s on %d pictures, accuracy %.3f by %d folds, seed %s",
		l.Chosen.Method, len(l.Files), l.Accuracy, l.Folds, strconv.FormatUint(seed, 10))
	return &safetensors.Content{Tensors: taught.Tensors, Int8: backbone.Int8, Metadata: metadata}, nil
}

// withHead is the tensors of a network with one fully connected layer instead of its own.
func withHead(tensors map[string]tensor.Tensor, head fit.Linear) map[string]tensor.Tensor {
	all := maps.Clone(tensors)
	maps.DeleteFunc(all, func(name string, _ tensor.Tensor) bool {
		return strings.HasPrefix(name, "fc.") || name == spec.KnownTensor
	})
	w, b := tensor.New(len(head.W), spec.Features), tensor.New(len(head.B))
	for k, row := range head.W {
		for i, v := range row {
			w.Data[k*spec.Features+i] = float32(v)
		}
		b.Data[k] = float32(head.B[k])
	}
	all["fc.weight"], all["fc.bias"] = w, b
	return all
}
