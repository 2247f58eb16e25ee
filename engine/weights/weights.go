// Package weights turns weight files into named tensors. It recognizes the format by content: PyTorch's zip
// and legacy checkpoints (package pth), safetensors and ONNX, each also gzipped. Names are torchvision's
// (layer1.0.conv1.weight, ...) whatever the file calls them. Package resnet interprets them.
package weights

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/onnx"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/pth"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

// MaxBytes bounds a weight file, also after decompression. A ResNet-18 has 45 MB; training checkpoints with averages of the
// weights and an optimizer's state have five times that, and those of larger networks are to be refused by their names. Only
// what is needed is read into memory.
const MaxBytes = 1 << 30

// The values of Set.Format.
const (
	FormatPyTorch       = "pytorch"
	FormatPyTorchLegacy = "pytorch-legacy"
	FormatSafetensors   = "safetensors"
	FormatONNX          = "onnx"
)

// The keys of Set.Metadata.
const (
	MetaWeights   = "weights"   // name of the weights, such as "resnet18-f37072fd"
	MetaSource    = "source"    // their origin
	MetaLicence   = "licence"   // license
	MetaOrigin    = "origin"    // SHA-256 of the file that was converted
	MetaPrecision = "precision" // "int8" for quantized weights, else absent
)

// Set is the content of one weight file. It is read-only once loaded and safe for concurrent use.
type Set struct {
	// Tensors by torchvision's state_dict name. Convolutions are OIHW: output channel, input channel, row,
	// column. A file with batch norm folded in (ONNX exports, quantized weights) has, instead of
	// "bn1.weight" and its siblings, the folded "conv1.weight" and a "conv1.bias". Integer tensors such as
	// num_batches_tracked are left out.
	Tensors map[string]tensor.Tensor
	// Int8 holds the quantized weights of files made by engine/quantize; nil in others.
	Int8 map[string]tensor.Of[int8]
	// Spec describes the model as far as the file does: labels may be nil. Fully connected layers are named "fc.weight" and
	// "fc.bias" if there is one, else "fc.0.weight", "fc.1.weight" and so on; a bias may be missing.
	Spec spec.Model
	// Metadata is safetensors' __metadata__; may be nil.
	Metadata map[string]string
	// Format is one of the Format constants.
	Format string
	// SHA256 is the hex digest of the file's bytes as stored.
	SHA256 string

	name    string
	mapping *mapping // memory that tensors may share; nil if nothing is mapped
}

// Load reads a weight file. Tensors may share the memory of the mapped file, which Close unmaps. The file must not
// change meanwhile: replace weight files by renaming a new one over them. Errors name the wrong tensor and what was
// expected.
func Load(path string) (*Set, error) {
	m, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("load weights: %w", err)
	}
	s, err := parse(m.data, filepath.Base(path))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load weights %s: %w", path, err), m.close())
	}
	s.mapping, s.SHA256 = m, m.sha256
	return s, nil
}

// Close unmaps the file. The set's tensors, and what shares their memory, must not be used afterwards.
func (s *Set) Close() error {
	if s.mapping == nil {
		return nil
	}
	m := s.mapping
	s.mapping, s.Tensors, s.Int8 = nil, nil, nil
	return m.close()
}

// Name returns the name of the weights: from the metadata, else the file's name without suffixes.
func (s *Set) Name() string {
	if n := s.Metadata[MetaWeights]; n != "" {
		return n
	}
	return s.name
}

// Identity identifies the weights by name and the first eight digits of the file's SHA-256:
// "resnet18-f37072fd@1a2b3c4d". Answers computed with equal identities are equal.
func (s *Set) Identity() string { return s.Name() + "@" + s.SHA256[:8] }

// Parameters returns the number of parameters in the set.
func (s *Set) Parameters() int {
	n := 0
	for _, t := range s.Tensors {
		n += len(t.Data)
	}
	for _, t := range s.Int8 {
		n += len(t.Data)
	}
	return n
}

// parse reads the bytes of an unpacked file.
func parse(data []byte, base string) (*Set, error) {
	s := &Set{name: stem(base)}
	var err error
	switch {
	case pth.Detect(data) != "":
		s.Format = FormatPyTorch
		if pth.Detect(data) == pth.Legacy {
			s.Format = FormatPyTorchLegacy
		}
		s.Tensors, err = checkpoint(data)
	case safetensors.Detect(data):
		s.Format = FormatSafetensors
		var c *safetensors.Content
		if c, err = safetensors.Parse(data); err == nil {
			s.Tensors, s.Int8, s.Metadata = c.Tensors, c.Int8, c.Metadata
		}
	case onnx.Detect(data):
		s.Format = FormatONNX
		s.Tensors, err = onnx.Parse(data)
	default:
		err = errors.New("not a weight file: want a PyTorch checkpoint, safetensors or ONNX, gzipped or not")
	}
	if err != nil {
		return nil, err
	}
	s.Spec = spec.ImageNet()
	return s, nil
}

// checkpoint reads the first candidate of a PyTorch checkpoint that has torchvision's names.
func checkpoint(data []byte) (map[string]tensor.Tensor, error) {
	c, err := pth.Parse(data)
	if err != nil {
		return nil, err
	}
	for _, candidate := range c.Candidates {
		for _, prefix := range []string{"", "module."} {
			if _, ok := candidate.Tensors[prefix+"conv1.weight"]; ok {
				return readAll(candidate.Tensors, prefix)
			}
		}
	}
	return nil, fmt.Errorf("checkpoint holds no ResNet-18, but %q", c.Keys)
}

// readAll reads the floating-point tensors whose names have the prefix.
func readAll(from map[string]raw.Lazy, prefix string) (map[string]tensor.Tensor, error) {
	tensors := make(map[string]tensor.Tensor, len(from))
	for name, lazy := range from {
		short, ok := strings.CutPrefix(name, prefix)
		if !ok || !lazy.Float {
			continue
		}
		data, err := lazy.Read()
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors[short] = tensor.Tensor{Shape: lazy.Shape, Data: data}
	}
	return tensors, nil
}

// stem returns a file name without the suffixes of formats.
func stem(base string) string {
	base = strings.TrimSuffix(base, ".gz")
	return strings.TrimSuffix(base, filepath.Ext(base))
}
