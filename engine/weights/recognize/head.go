package recognize

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// beside matches tensors that training needs and the model's answer does not: losses, metrics, queues of negative examples. A
// metric's name must be complete: accident_classifier is none.
var beside = regexp.MustCompile(`(?i)(?:^|\.)(?:(?:\w+_)?(?:criterion|criteria|loss|losses|loss_?fns?|loss_?functions?)\d*|` +
	`(?:train|val|valid|validation|test)?_?(?:metrics?|acc\d?|accuracy|f1|f1_?score|auroc|auc|precision|recall|confmat|confusion_?matrix)(?:_(?:train|val|valid|test|epoch|best))?|` +
	`queue(?:_ptr|_labels)?|(?:class|pos|loss|ce)_?weights?|n_averaged|ema_updates?|num_updates|decay)(?:\.|$)`)

// projection matches heads of self-supervised learning. Their outputs are no classes: they serve the loss only.
var projection = regexp.MustCompile(`(?:^|\.)(?:projectors?|projection(?:_head|_mlp|_net)?|proj(?:_head|_mlp)?|predictors?|prediction_head|` +
	`prototypes?|contrastive_head|last_layer|head\.mlp|center)(?:\.|$)`)

// encoder matches the prefixes of networks whose fc is a projection: MoCo, BYOL.
var encoder = regexp.MustCompile(`(?:^|\.)(?:encoder_q|encoder_k|base_encoder|momentum_encoder|online_encoder|target_encoder|online_network|target_network)\.`)

// normalizer matches the constants of a normalization that is part of the model.
var normalizer = regexp.MustCompile(`(?i)(?:^|[._])(mean|std)$`)

// module is a part of the head.
type module struct {
	name    string // the file's
	in, out int    // equal for a batch norm
	norm    bool
	tensors map[string]raw.Lazy // by the name's last part
}

// head takes what is no backbone as fully connected layers.
func (f *finding) head() (Result, error) {
	r := Result{Head: spec.Head{Pool: spec.Average, Activation: spec.None}, Tensors: map[string]raw.Lazy{}}
	tensors := maps.Clone(f.rest)
	maps.DeleteFunc(tensors, func(name string, t raw.Lazy) bool { return !t.Float || beside.MatchString(name) })
	r.takeNormalizer(tensors)
	projected := leaveProjections(tensors, f.prefix)
	modules, err := modulesOf(tensors)
	if err != nil {
		return r, cmp.Or(f.larger(), err)
	}
	c, err := f.chain(modules)
	if err != nil {
		return r, err
	}
	if c.contrastive() {
		projected = append(projected, c.layerNames()...)
		c = chain{}
	}
	if len(projected) > 0 {
		r.Notes = append(r.Notes, "left out as the projection head of self-supervised learning: "+some(projected))
	}
	if len(c.linears) == 0 {
		r.Notes = append(r.Notes, "the model has no classifier: it gives features only")
		return r, nil
	}
	r.Notes = append(r.Notes, c.remarks...)
	if err := c.build(&r); err != nil {
		return r, err
	}
	switch {
	case f.has("Sigmoid"):
		r.Head.Activation = spec.Sigmoid
	case r.Head.Classes == 1:
		r.Notes = append(r.Notes, "the model has a single output, which is given as it is; if it is a probability, give --activation sigmoid")
	default:
		r.Head.Activation = spec.Softmax
	}
	return r, nil
}

// takeNormalizer moves the mean and the deviation of a normalization inside the model to the result.
func (r *Result) takeNormalizer(tensors map[string]raw.Lazy) {
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		t := tensors[name]
		m := normalizer.FindStringSubmatch(name)
		if m == nil || elements(t.Shape) != 3 || strings.HasSuffix(name, "running_mean") {
			continue
		}
		delete(tensors, name)
		if strings.EqualFold(m[1], "mean") {
			r.Mean = &t
		} else {
			r.Deviation = &t
		}
	}
	if r.Mean == nil || r.Deviation == nil {
		r.Mean, r.Deviation = nil, nil
	}
}

// leaveProjections drops the tensors of projections, and returns the names of their modules.
func leaveProjections(tensors map[string]raw.Lazy, prefix string) (left []string) {
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if projection.MatchString(name) || encoder.MatchString(prefix) && strings.HasPrefix(name, prefix) {
			delete(tensors, name)
			if parent, _ := split(name); !slices.Contains(left, parent) {
				left = append(left, parent)
			}
		}
	}
	return left
}

// modulesOf groups tensors by the module they belong to.
func modulesOf(tensors map[string]raw.Lazy) ([]module, error) {
	groups := map[string]map[string]raw.Lazy{}
	for name, t := range tensors {
		parent, leaf := split(name)
		if groups[parent] == nil {
			groups[parent] = map[string]raw.Lazy{}
		}
		groups[parent][leaf] = t
	}
	var modules []module
	var unknown []string
	for name, group := range groups {
		m := module{name: name, tensors: group}
		if !m.linear() && !m.batchNorm() {
			unknown = append(unknown, strings.TrimPrefix(name+"."+slices.Min(slices.Collect(maps.Keys(group))), "."))
			continue
		}
		modules = append(modules, m)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("this has a ResNet-18 inside, but also %s: after the last convolution there may be pooling, fully connected "+
			"layers, batch norm and ReLU only; rebuild the model with such a head, or leave what does not belong to it out of the state_dict()", some(unknown))
	}
	slices.SortFunc(modules, func(a, b module) int { return natural(a.name, b.name) })
	return modules, nil
}

// linear reports whether m is a fully connected layer, and sets its numbers of inputs and outputs. A 1x1 convolution after
// pooling is one too.
func (m *module) linear() bool {
	w, ok := m.tensors["weight"]
	flat := len(w.Shape) == 2 || len(w.Shape) == 4 && w.Shape[2] == 1 && w.Shape[3] == 1
	if !ok || !flat || w.Shape[0] < 1 || w.Shape[1] < 1 {
		return false
	}
	m.out, m.in = w.Shape[0], w.Shape[1]
	b, biased := m.tensors["bias"]
	if biased && !slices.Equal(b.Shape, []int{m.out}) {
		return false
	}
	return len(m.tensors) == 1 || biased && len(m.tensors) == 2
}

// batchNorm reports whether m is a batch norm, with its own scale and bias or without, and sets its number of channels.
func (m *module) batchNorm() bool {
	mean, ok := m.tensors["running_mean"]
	if !ok || len(mean.Shape) != 1 || mean.Shape[0] < 1 {
		return false
	}
	for leaf, t := range m.tensors {
		if !slices.Contains(norms, "."+leaf) || !slices.Equal(t.Shape, mean.Shape) {
			return false
		}
	}
	_, variance := m.tensors["running_var"]
	m.in, m.out, m.norm = mean.Shape[0], mean.Shape[0], true
	return variance
}
