// Package onnx reads a ResNet-18 from an ONNX file: its weights, its head, and the normalization inside if there is
// one. Exports rename, fold and fuse freely, so names are not trusted: the graph is followed from its input to its
// output, each operator's place gives its weights torchvision's name, and what would compute something else than a
// ResNet-18 is refused where it departs. Package weights is the caller.
//
// The format is the protocol buffer onnx.proto3 of https://github.com/onnx/onnx; the few fields needed are read
// directly, without generated code. What an operator does when an attribute is absent stands in ONNX's operator
// specification.
package onnx

import (
	"errors"
	"fmt"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// Content is what a file says of its model.
type Content struct {
	// Tensors by torchvision's name; convolutions are OIHW. A convolution has either its batch norm ("bn1.weight" and
	// siblings) or, if that is folded in, a bias ("conv1.bias"). Fully connected layers are "fc.weight" and "fc.bias"
	// if there is one, else "fc.0.weight", "fc.1.weight" and so on, all [outputs, inputs]; a bias may be missing.
	Tensors map[string]tensor.Tensor
	Head    spec.Head
	// Preprocess holds what the graph says of its input, and zero where it says nothing: Mean and Deviation if it
	// normalizes by itself (both zero otherwise), Crop if its input has a fixed size. Nil if it says neither.
	Preprocess *spec.Preprocess
	// Notes tell people what was found, assumed or ignored.
	Notes []string
	// Metadata is metadata_props; may be nil.
	Metadata map[string]string
}

// Detect reports whether data begins like a serialized model: its first field is ir_version (1, a varint).
func Detect(data []byte) bool { return len(data) > 2 && data[0] == 0x08 && data[1] < 0x80 }

// minOpset is the first version of the operators that is read: before it, Gemm and Add broadcast by attributes.
const minOpset = 7

// maxOutputs bounds the work: the graph is followed once for each output.
const maxOutputs = 16

// Parse reads a model. Weights may be in files beside it: open returns the content of the file of that name, which is
// only a name, in the model's folder. It may be nil, then such weights are an error. Tensors share the memory of data
// and of these files where they can. Errors name the operator or tensor and what was expected, or the network that
// the file holds instead.
func Parse(data []byte, open func(name string) ([]byte, error)) (Content, error) {
	m, err := parseModel(data)
	if err != nil {
		return Content{}, fmt.Errorf("onnx model: %w", err)
	}
	g := m.graph
	switch {
	case g == nil:
		return Content{}, errors.New("onnx model holds no graph")
	case m.opset != 0 && m.opset < minOpset:
		return Content{}, fmt.Errorf("onnx model uses operator set %d, want %d or later: export it again", m.opset, minOpset)
	}
	if err := g.supported(m.functions); err != nil {
		return Content{}, err
	}
	g.files = files{open: open}
	g.link()
	c, err := g.content()
	if departed := (*departure)(nil); errors.As(err, &departed) {
		if other := g.architecture(); other != "" {
			return Content{}, fmt.Errorf("this is %s, not ResNet-18 (%w)", other, err)
		}
		return Content{}, fmt.Errorf("the graph is not that of a ResNet-18: %w", err)
	}
	c.Metadata = m.metadata
	return c, err
}

// departure is the place where a graph is not a ResNet-18's, in contrast to a broken file.
type departure struct{ text string }

func (d *departure) Error() string { return d.text }

func departs(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxText { // a value may go to any number of operators
		text = text[:maxText] + "..."
	}
	return &departure{text}
}

// maxText bounds a message in bytes.
const maxText = 1000

// content follows the graph to each of its outputs and takes the one that says most.
func (g *graph) content() (Content, error) {
	if len(g.inputs) != 1 {
		return Content{}, departs("it has %d inputs, want one, the pictures", len(g.inputs))
	}
	if len(g.outputs) == 0 || len(g.outputs) > maxOutputs {
		return Content{}, departs("it has %d outputs, want 1 to %d", len(g.outputs), maxOutputs)
	}
	var best *reading
	var first error
	var ignored []string
	for _, output := range g.outputs {
		r, err := g.follow(output)
		switch {
		case err != nil:
			ignored = append(ignored, fmt.Sprintf("output %.100q is ignored: %v", output, err))
			if first == nil {
				first = err
			}
			continue
		case best == nil:
			best = r
			continue
		}
		if best, err = best.merge(r); err != nil {
			return Content{}, err
		}
	}
	if best == nil {
		return Content{}, first
	}
	c, err := best.content()
	c.Notes = append(c.Notes, ignored...)
	return c, err
}

// reading is a graph followed to one output.
type reading struct {
	output  string
	tensors map[string]tensor.Tensor // of the convolutions
	input   input
	head    *head
	half    bool // it computes in half precision in places
}

// merge chooses between two outputs: that with more layers behind the same ones, then the one before its activation.
// The activation is known if any of them has it.
func (r *reading) merge(other *reading) (*reading, error) {
	long, short := r, other
	if len(other.head.layers) > len(r.head.layers) {
		long, short = other, r
	}
	for i, l := range short.head.layers {
		if long.head.layers[i].node != l.node {
			return nil, departs("outputs %.100q and %.100q come from different layers, want one head", r.output, other.output)
		}
	}
	if len(long.head.layers) > len(short.head.layers) {
		return long, nil
	}
	if long.head.activation != nil && short.head.activation == nil {
		long, short = short, long
	}
	if long.head.activation == nil {
		long.head.activation = short.head.activation
	}
	return long, nil
}

// content is the reading in the form for callers.
func (r *reading) content() (Content, error) {
	c := Content{Tensors: r.tensors}
	if err := r.head.finish(&c); err != nil {
		return Content{}, err
	}
	p, err := r.input.preprocess()
	if err != nil {
		return Content{}, err
	}
	c.Preprocess = p
	if len(r.input.nodes) > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("the graph normalizes its input by itself (%s): mean and deviation are taken from it",
			strings.Join(r.input.nodes, ", ")))
	}
	if r.half {
		c.Notes = append(c.Notes, "the graph computes in half precision in places; here all is computed in float32")
	}
	return c, nil
}
