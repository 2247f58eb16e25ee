// Package recognize finds a ResNet-18 among the tensors of a checkpoint, whatever they are called, and names them as
// torchvision does. Training code wraps, renames and extends networks freely: DataParallel puts "module." before every name,
// transformers calls layer1.0.conv1 "resnet.encoder.stages.0.layers.0.layer.0.convolution", and losses and metrics have tensors
// of their own. Only names and shapes decide. What is no ResNet-18 is refused by its own name. Package
// weights is the caller.
//
// The order of the steps:
//
//	scheme     the names' scheme and prefix: those under which most of the 20 convolutions are found
//	backbone   each tensor under torchvision's name, in its shape; else which architecture it is
//	head       the remaining tensors as fully connected layers that continue from the 512 features
package recognize

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// Result is a ResNet-18 that was found.
type Result struct {
	// Tensors by torchvision's names, not read yet. Batch norm of the backbone stays as it is. Fully connected layers are
	// "fc.weight" and "fc.bias" if there is one, else "fc.0.weight", "fc.1.weight" and so on, [outputs, inputs]; batch norm
	// between them is folded in when they are read. A bias may be missing.
	Tensors map[string]raw.Lazy
	// Head says what the layers are: softmax for two classes or more, no activation for a single output.
	Head spec.Head
	// Mean and Deviation are three numbers each, by which the model itself normalizes its input; both nil in most files.
	Mean, Deviation *raw.Lazy
	// Notes are remarks for people: what was assumed, and what was left out.
	Notes []string
}

// Refusal is the error for tensors that are no ResNet-18, or one that cannot be served.
type Refusal struct {
	// Text says what they are and what to do.
	Text string
	// Likeness is the number of ResNet-18's convolutions that were found by name. Of several candidates in one file the most
	// alike is the one to report.
	Likeness int
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

// otherwise ends refusals of other architectures.
const otherwise = "only ResNet-18 is served here: train one, such as torchvision's resnet18, or serve this file with the framework that made it"

// ResNet18 finds a ResNet-18 among tensors by their names and shapes. Errors are of type *Refusal. The result refers to the
// tensors given. None is read, but for the first convolution of two networks in one file, to see whether they are the same.
// Modules are the classes of a whole pickled model's parts by dotted name, nil if the file has none: they say where the
// activations are, which leave no tensors.
func ResNet18(tensors map[string]raw.Lazy, modules map[string]string) (Result, error) {
	if err := countable(tensors); err != nil {
		return Result{}, err
	}
	weights, err := leaveOut(tensors)
	if err != nil {
		return Result{}, err
	}
	found := search(weights)
	found.modules = modules
	r, err := found.resnet18()
	if err != nil {
		return Result{}, &Refusal{Text: err.Error(), Likeness: found.likeness}
	}
	r.Notes = append(found.notes, r.Notes...)
	return r, nil
}

// Bounds on what is looked at: each name is compared with some hundred patterns, and networks in one file with each other. A training
// checkpoint of ResNet-18 has some 500 tensors, language models a few thousand.
const (
	maxTensors = 4096
	maxName    = 512       // bytes of a name
	maxNames   = 512 << 10 // bytes of all names
)

// countable refuses more tensors and longer names than networks have.
func countable(tensors map[string]raw.Lazy) error {
	if len(tensors) > maxTensors {
		return &Refusal{Text: fmt.Sprintf("this is not a ResNet-18: it has %d tensors, ResNet-18 has 122; %s", len(tensors), otherwise)}
	}
	all := 0
	for name := range tensors {
		if all += len(name); len(name) > maxName || all > maxNames {
			return &Refusal{Text: fmt.Sprintf("this is not a ResNet-18: the names of its tensors are too long, such as %.80q; %s", name, otherwise)}
		}
	}
	return nil
}

// leaveOut drops what is never a weight: integers and counters, and the states of optimizers.
func leaveOut(tensors map[string]raw.Lazy) (map[string]raw.Lazy, error) {
	weights := make(map[string]raw.Lazy, len(tensors))
	optimizers := 0
	for name, t := range tensors {
		switch {
		case optimizerState.MatchString(name):
			optimizers++
		case t.Float || strings.HasSuffix(name, ".weight"):
			weights[name] = t
		}
	}
	if len(weights) > 0 {
		return weights, nil
	}
	return nil, noModel(optimizers > 0)
}

// NoModel is the error for a checkpoint that has no tensors of a model, by the keys at its top.
func NoModel(keys []string) error {
	return noModel(slices.ContainsFunc(keys, func(key string) bool { return optimizerState.MatchString(key + ".") }))
}

func noModel(optimizer bool) error {
	if optimizer {
		return &Refusal{Text: "the file holds no model, only the state of an optimizer: save the model's state_dict() too"}
	}
	return &Refusal{Text: "the file holds no model: there are no tensors of floating-point numbers; save the model's state_dict()"}
}

// resnet18 takes the tensors that were found as a ResNet-18.
func (f *finding) resnet18() (Result, error) {
	if f.likeness < alike {
		return Result{}, f.foreign()
	}
	body, err := f.body()
	if err != nil {
		return Result{}, err
	}
	if err := errors.Join(f.layersWithoutTensors(), f.alone()); err != nil {
		return Result{}, err
	}
	h, err := f.head()
	if err != nil {
		return Result{}, err
	}
	maps.Copy(body, h.Tensors)
	h.Tensors = body
	if f.scheme.name == "Detectron2" {
		h.Notes = append(h.Notes, "the names are Detectron2's, whose networks often take blue before red: this one gets red first")
	}
	return h, nil
}

// alike is how many of the 20 convolutions must be found by name for tensors to be some residual network.
const alike = 8

// some lists a few names: "a, b and 7 more".
func some(names []string) string {
	slices.Sort(names)
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
