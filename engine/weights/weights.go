// Package weights turns weight files into a ResNet-18's named tensors and its description. It tells the format by content:
// PyTorch's checkpoints (package pth), safetensors and ONNX, each also gzipped; package detect names files that are none. Names
// are torchvision's (layer1.0.conv1.weight, ...) whatever the file calls them, which package recognize finds out. Package
// describe adds labels and preprocessing. Package resnet interprets the result.
package weights

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/detect"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/onnx"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/pth"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/recognize"
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
	MetaRevision  = "revision"  // commit of the repository that the weights are from, if they are from one
	MetaPrecision = "precision" // "int8" for quantized weights, else absent
)

// Set is the content of one weight file. It is read-only once loaded and safe for concurrent use.
type Set struct {
	// Tensors by torchvision's state_dict name. Convolutions are OIHW: output channel, input channel, row,
	// column. A model that tells unknown pictures has spec.KnownTensor too. A file with batch norm folded in (ONNX exports, quantized weights) has, instead of
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
	// SHA256 is the hex digest of the file's bytes as stored; with weights in files beside it (ONNX), that of all digests.
	SHA256 string

	// Sources says where the parts of Spec are from.
	Sources describe.Sources
	// Notes are for people: what was assumed of the file, or found and not used.
	Notes []string

	facts   map[string]any // of a checkpoint, for describe
	inside  bool           // the model normalizes its input itself: Spec.Preprocess has that, whatever side files say
	name    string
	version string   // see Version; empty means SHA256
	mapping *mapping // memory that tensors may share; nil if nothing is mapped
}

// Load reads a weight file, or the one in a folder (see [Find]). Tensors may share the memory of the mapped file, which Close
// unmaps. The file must not change meanwhile: replace weight files by renaming a new one over them. Errors name the wrong
// tensor and what was expected.
func Load(path string) (*Set, error) { return LoadAs(path, describe.Options{}) }

// LoadAs is Load with what a user says of the model.
func LoadAs(path string, o describe.Options) (*Set, error) {
	given := path
	path, err := Find(path)
	if err != nil {
		return nil, fmt.Errorf("load weights: %w", err)
	}
	m, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("load weights: %w", err)
	}
	s, err := parse(m.data, filepath.Base(path), m.besideIn(filepath.Dir(path)))
	if err == nil {
		s.SHA256 = m.digest()
		if path != given {
			s.name = folderName(given) // all files of the hub are called model.safetensors
		}
		err = s.describe(filepath.Dir(path), s.facts, o)
	}
	if err != nil {
		return nil, errors.Join(fileError{fmt.Errorf("load weights %s: %w", path, err)}, m.close())
	}
	for i, note := range s.Notes {
		s.Notes[i] = printable(note)
	}
	for _, key := range []string{MetaWeights, MetaSource, MetaLicence, MetaOrigin, MetaRevision, MetaPrecision} {
		if value, ok := s.Metadata[key]; ok {
			s.Metadata[key] = printable(value)
		}
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
	return printable(s.name)
}

// Version is the file's SHA-256 if the file alone describes the model, else a digest of that and of Spec: answers depend
// on labels and preprocessing too.
func (s *Set) Version() string { return cmp.Or(s.version, s.SHA256) }

// Identity identifies the model by name and the first eight digits of its version: "resnet18-f37072fd@1a2b3c4d".
// Answers computed with equal identities are equal.
func (s *Set) Identity() string { return s.Name() + "@" + s.Version()[:8] }

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

// parse reads the bytes of an unpacked file. beside opens files in its folder.
func parse(data []byte, base string, beside func(name string) ([]byte, error)) (*Set, error) {
	if err := detect.Foreign(data); err != nil {
		return nil, err
	}
	s := &Set{name: stem(base)}
	s.Spec.Preprocess = spec.Torchvision()
	kind := pth.Detect(data)
	var err error
	switch {
	case kind != "":
		s.Format = FormatPyTorch
		if kind == pth.Legacy {
			s.Format = FormatPyTorchLegacy
		}
		err = s.checkpoint(data)
	case safetensors.Detect(data):
		s.Format = FormatSafetensors
		err = s.safetensors(data)
	case onnx.Detect(data):
		s.Format = FormatONNX
		err = s.onnx(data, beside)
	default:
		err = detect.Unknown(base)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// checkpoint reads a PyTorch checkpoint.
func (s *Set) checkpoint(data []byte) error {
	c, err := pth.Parse(data)
	if err != nil {
		return err
	}
	if len(c.Candidates) == 0 {
		return recognize.NoModel(c.Keys)
	}
	s.facts = c.Facts
	return s.recognize(c.Candidates)
}

// recognize takes the first candidate that is a ResNet-18. If none is, the error is that of the one that is most alike.
func (s *Set) recognize(candidates []pth.Candidate) error {
	var refused *recognize.Refusal
	for _, c := range candidates {
		found, err := recognize.ResNet18(c.Tensors, c.Modules)
		if err == nil {
			if strings.Contains(c.Name, "ema") {
				s.Notes = append(s.Notes, fmt.Sprintf("the moving average of the weights is used (%s), as training evaluates it", c.Name))
			}
			return s.read(found)
		}
		var r *recognize.Refusal
		if !errors.As(err, &r) {
			return err
		}
		if refused == nil || r.Likeness > refused.Likeness {
			refused = r
		}
	}
	return refused
}

// read reads the tensors of what was recognized, and nothing else of the file.
func (s *Set) read(found recognize.Result) error {
	s.Tensors = make(map[string]tensor.Tensor, len(found.Tensors))
	for name, lazy := range found.Tensors {
		data, err := lazy.Read()
		if err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		s.Tensors[name] = tensor.Tensor{Shape: lazy.Shape, Data: data}
	}
	s.Spec.Head = found.Head
	s.Notes = append(s.Notes, found.Notes...)
	return s.readNormalization(found)
}

// readNormalization takes the mean and the deviation of a model that normalizes its input itself.
func (s *Set) readNormalization(found recognize.Result) error {
	if found.Mean == nil {
		return nil
	}
	for _, part := range []struct {
		from *raw.Lazy
		to   *[3]float64
	}{{found.Mean, &s.Spec.Preprocess.Mean}, {found.Deviation, &s.Spec.Preprocess.Deviation}} {
		values, err := part.from.Read()
		if err != nil {
			return fmt.Errorf("mean and deviation of the model's input: %w", err)
		}
		if len(values) != len(part.to) {
			return fmt.Errorf("mean and deviation of the model's input have %d values, want %d", len(values), len(part.to))
		}
		for i, v := range values {
			part.to[i] = float64(v)
		}
	}
	p := &s.Spec.Preprocess
	p.Mean, p.Deviation = spec.Units(p.Mean, p.Deviation)
	s.inside = true
	s.Notes = append(s.Notes, fmt.Sprintf("the model normalizes its input itself, with mean %.4g and deviation %.4g", s.Spec.Preprocess.Mean, s.Spec.Preprocess.Deviation))
	return s.Spec.Preprocess.Validate()
}

// safetensors reads a safetensors file. Quantized weights and those that metadata describe were written here, and have their names:
// nothing is guessed of them.
func (s *Set) safetensors(data []byte) error {
	c, err := safetensors.Parse(data)
	if err != nil {
		return err
	}
	s.Metadata = c.Metadata
	if len(c.Int8) > 0 || c.Metadata[describe.MetaHead] != "" {
		s.Tensors, s.Int8 = c.Tensors, c.Int8
		s.Spec.Head = headOf(c.Tensors)
		return nil
	}
	known, ok := c.Tensors[spec.KnownTensor]
	delete(c.Tensors, spec.KnownTensor) // beside the weights, of no layer
	if err := s.recognize([]pth.Candidate{{Tensors: lazily(c.Tensors)}}); err != nil || !ok {
		return err
	}
	s.Tensors[spec.KnownTensor] = known
	return nil
}

// onnx reads an ONNX file, whose tensors get torchvision's names by their places in the graph. It describes itself in part.
func (s *Set) onnx(data []byte, beside func(name string) ([]byte, error)) error {
	c, err := onnx.Parse(data, beside)
	if err != nil {
		return err
	}
	s.Tensors, s.Metadata, s.Notes = c.Tensors, c.Metadata, c.Notes
	s.Spec.Head = c.Head
	p := &s.Spec.Preprocess
	if c.Preprocess != nil && c.Preprocess.Crop != 0 {
		p.Resize, p.Crop = c.Preprocess.Crop*p.Resize/p.Crop, c.Preprocess.Crop // torchvision's share of the picture
	}
	if c.Preprocess != nil && c.Preprocess.Deviation[0] != 0 {
		p.Mean, p.Deviation, s.inside = c.Preprocess.Mean, c.Preprocess.Deviation, true
	}
	return nil
}

// headOf returns the head of tensors that have our names, with ReLU between layers: metadata say it if there is none.
func headOf(tensors map[string]tensor.Tensor) spec.Head {
	head := spec.Head{Pool: spec.Average, Activation: spec.None}
	layers := []tensor.Tensor{tensors["fc.weight"]}
	if layers[0].Shape == nil {
		layers = nil
		for t, ok := tensors["fc.0.weight"]; ok; t, ok = tensors[fmt.Sprintf("fc.%d.weight", len(layers))] {
			layers = append(layers, t)
		}
	}
	for i, t := range layers {
		if len(t.Shape) != 2 {
			return spec.Head{Pool: spec.Average, Activation: spec.None} // package resnet says what is wrong with it
		}
		head.ReLU = append(head.ReLU, i < len(layers)-1)
		head.Classes = t.Shape[0]
	}
	if len(layers) > 0 && layers[0].Shape[1] == 2*spec.Features {
		head.Pool = spec.MaxAverage
	}
	if head.Classes > 1 {
		head.Activation = spec.Softmax
	}
	return head
}

// lazily makes tensors that are read into those that are not.
func lazily(tensors map[string]tensor.Tensor) map[string]raw.Lazy {
	lazy := make(map[string]raw.Lazy, len(tensors))
	for name, t := range tensors {
		lazy[name] = raw.Lazy{Shape: t.Shape, Float: true, Read: func() ([]float32, error) { return t.Data, nil }}
	}
	return lazy
}

// stem returns a file name without the suffixes of formats.
func stem(base string) string {
	base = strings.TrimSuffix(base, ".gz")
	return strings.TrimSuffix(base, filepath.Ext(base))
}
