// Package weights turns weight files into named tensors. It recognizes the format by content: PyTorch's zip
// and legacy checkpoints (package pth), safetensors and ONNX, each also gzipped. Names are torchvision's
// (layer1.0.conv1.weight, ...) whatever the file calls them. Package resnet interprets them.
package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/onnx"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/pth"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

// MaxBytes bounds a weight file, also after decompression: five times a ResNet-18 in float32.
const MaxBytes = 256 << 20

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
	s, err := parse(m.data, filepath.Base(path), m.besideIn(filepath.Dir(path)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load weights %s: %w", path, err), m.close())
	}
	s.mapping = m
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

// parse reads a file's bytes, gzipped or not. beside opens files in its folder.
func parse(data []byte, base string, beside func(name string) ([]byte, error)) (*Set, error) {
	sum := sha256.Sum256(data)
	s := &Set{SHA256: hex.EncodeToString(sum[:]), name: stem(base)}
	data, err := gunzip(data)
	if err != nil {
		return nil, err
	}
	switch {
	case pth.DetectZip(data):
		s.Format = FormatPyTorch
		s.Tensors, err = pth.ParseZip(data)
	case pth.DetectLegacy(data):
		s.Format = FormatPyTorchLegacy
		s.Tensors, err = pth.ParseLegacy(data)
	case safetensors.Detect(data):
		s.Format = FormatSafetensors
		var c *safetensors.Content
		if c, err = safetensors.Parse(data); err == nil {
			s.Tensors, s.Int8, s.Metadata = c.Tensors, c.Int8, c.Metadata
		}
	case onnx.Detect(data):
		s.Format = FormatONNX
		return s, s.parseONNX(data, beside)
	default:
		err = errors.New("not a weight file: want a PyTorch checkpoint, safetensors or ONNX, gzipped or not")
	}
	if err != nil {
		return nil, err
	}
	s.Spec = spec.ImageNet()
	return s, nil
}

// parseONNX reads an ONNX model, which describes itself in part.
func (s *Set) parseONNX(data []byte, beside func(name string) ([]byte, error)) error {
	c, err := onnx.Parse(data, beside)
	if err != nil {
		return err
	}
	s.Tensors, s.Metadata = c.Tensors, c.Metadata
	s.Spec = spec.Model{Head: c.Head, Preprocess: spec.Torchvision()}
	p := &s.Spec.Preprocess
	if c.Preprocess != nil && c.Preprocess.Crop != 0 {
		p.Resize, p.Crop = c.Preprocess.Crop*p.Resize/p.Crop, c.Preprocess.Crop // torchvision's share of the picture
	}
	if c.Preprocess != nil && c.Preprocess.Deviation[0] != 0 {
		p.Mean, p.Deviation = c.Preprocess.Mean, c.Preprocess.Deviation
	}
	return nil
}

// stem returns a file name without the suffixes of formats.
func stem(base string) string {
	base = strings.TrimSuffix(base, ".gz")
	return strings.TrimSuffix(base, filepath.Ext(base))
}
