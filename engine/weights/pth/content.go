package pth

import (
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// Kind is the container of a checkpoint.
type Kind string

// The containers that PyTorch checkpoints come in.
const (
	Zip    Kind = "zip"    // torch.save since PyTorch 1.6, and TorchScript
	Legacy Kind = "legacy" // torch.save from 0.1.10 to 1.5, or with _use_new_zipfile_serialization=False
	Pickle Kind = "pickle" // a plain pickle without storages: numpy arrays, as Detectron2 writes them
	Tar    Kind = "tar"    // torch.save before 0.1.10: recognized, not read
)

// Content is what a checkpoint holds, as far as weights need it. Nothing of it is filtered by architecture.
type Content struct {
	Kind Kind
	// Candidates are the groups of tensors that may be a model, the most preferred first. Empty if the file holds none:
	// only an optimizer's state, for example.
	Candidates []Candidate
	// Facts are plain values found in the checkpoint beside the tensors, by dotted path: "epoch", "args.arch",
	// "meta.dataset_meta.classes", "hyper_parameters.num_classes". A value is a string, bool, int64, float64, []string,
	// []float64, or, for a dictionary of one kind, map[string]string, map[string]int64 or map[int64]string (class_to_idx and
	// idx_to_class). "class" is the class of a whole pickled object: "torchvision.models.resnet.ResNet". Sizes are
	// bounded, what exceeds them is left out. May be nil.
	Facts map[string]any
	// Keys are the names at the top of the checkpoint, in its order, at most 64: for messages.
	Keys []string
}

// Candidate is a group of tensors that may be a model's weights.
type Candidate struct {
	// Name is the key of the checkpoint where the tensors were: "model_ema", "state_dict"; empty for the top itself.
	Name string
	// Class is the class of a whole pickled model, such as "torchvision.models.resnet.ResNet"; empty for a dictionary.
	Class string
	// Tensors by dotted name, with integer ones. Their Read is safe for concurrent use.
	Tensors map[string]raw.Lazy
	// Modules are the classes of a whole model's parts by dotted name: "fc.1" is "torch.nn.modules.linear.Linear". Nil for
	// a dictionary.
	Modules map[string]string
}
