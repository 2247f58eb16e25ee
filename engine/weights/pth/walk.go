package pth

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

const (
	maxDepth      = 32      // of dictionaries and modules in each other
	maxName       = 512     // bytes of a tensor's dotted name
	maxVisits     = 1 << 20 // values looked at: the memo lets a few bytes stand for any number of them
	maxTensors    = 1 << 14 // of all candidates together
	maxCandidates = 32
	maxKeys       = 64
)

// wrappers are the keys under which training scripts store weights, the preferred first: an average over the last steps
// (EMA) is what its authors evaluate.
var wrappers = []string{
	"model_ema", "state_dict_ema", "ema", "state_dict", "model_state_dict", "model", "teacher", "net",
}

// beside are keys of what is beside weights in checkpoints: they hold tensors, but never a model.
var beside = []string{
	"optimizer", "optim", "opt", "scheduler", "lr_sched", "scaler", "amp", "callbacks", "loops", "rng", "random", "criterion", "loss",
	"_metadata", "param_groups", "message_hub",
}

func isBeside(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc(beside, func(b string) bool { return key == b || strings.HasPrefix(key, b+"_") || key == b+"s" || key == b+"er" }) ||
		strings.Contains(key, "optimizer") || strings.Contains(key, "scheduler") || strings.Contains(key, "rng_state")
}

// walker finds tensors in what a pickle left.
type walker struct {
	source  *source
	visits  int
	tensors int
	onPath  map[any]bool // containers above the value that is looked at: the memo makes cycles possible
}

var errWalk = errors.New("checkpoint holds too many values for one of ResNet-18")

// candidates returns the groups of tensors below root, the preferred first: those under the keys of wrappers, the top
// itself without them, and what stands under other keys.
func (w *walker) candidates(root any) ([]Candidate, error) {
	w.onPath = map[any]bool{}
	top := entriesOf(root)
	if isModule(root) {
		top = nil
	}
	var found []Candidate
	add := func(name string, v any, skip func(string) bool) error {
		c := Candidate{Name: strings.Clone(name), Tensors: map[string]raw.Lazy{}}
		if err := w.visit(&c, v, "", 0, skip); err != nil {
			return err
		}
		if hasMatrix(c.Tensors) && len(found) < maxCandidates {
			found = append(found, c)
		}
		return nil
	}
	for _, key := range wrappers {
		if v := get(top, key); v != nil && !isTensor(v) {
			if err := add(key, v, nil); err != nil {
				return nil, err
			}
		}
	}
	inRoot := func(key string) bool { return slices.Contains(wrappers, key) || isBeside(key) }
	if isModule(root) {
		inRoot = nil
	}
	if err := add("", root, inRoot); err != nil {
		return nil, err
	}
	for _, e := range top {
		key, ok := e.key.(string)
		if !ok || inRoot(key) || isTensor(e.value) {
			continue
		}
		if err := add(key, e.value, nil); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// hasMatrix reports whether tensors may be a model: counters and scores beside it are numbers or rows of numbers.
func hasMatrix(tensors map[string]raw.Lazy) bool {
	for _, t := range tensors {
		if t.Float && len(t.Shape) > 1 {
			return true
		}
	}
	return false
}

// isTensor reports whether a value is one tensor instead of a group of them.
func isTensor(v any) bool { return tensorOf(v) != nil }

// tensorOf returns the view that a value is or wraps, nil if it is no tensor.
func tensorOf(v any) *view {
	switch v := v.(type) {
	case *view:
		return v
	case *object:
		if a := array(v); a != nil {
			return a
		}
		if v.class == "torch._utils _rebuild_device_tensor_from_numpy" || v.class == "torch._utils _rebuild_xla_tensor" {
			if a, ok := first(v.args).(*object); ok { // (array, dtype, device, requires_grad)
				return array(a)
			}
		}
		// PyTorch before 0.4 pickled Parameter(tensor) and Variable(tensor).
		name := string(v.class)
		if strings.HasSuffix(name, " Parameter") || strings.HasSuffix(name, " Variable") {
			t, _ := first(v.args).(*view)
			return t
		}
	}
	return nil
}

// isModule reports whether a value is an instance of a module: of torch.nn.Module's subclasses, whose state has _modules, or
// of TorchScript's.
func isModule(v any) bool {
	o, ok := v.(*object)
	if !ok {
		return false
	}
	return get(attributes(o.state), "_modules") != nil || strings.HasPrefix(string(o.class), "__torch__.")
}

// visit adds the tensors below v to c, under name. Keys for which skip is true are left out, at the top only.
func (w *walker) visit(c *Candidate, v any, name string, depth int, skip func(string) bool) error {
	if w.visits += cost(v); w.visits > maxVisits {
		return errWalk
	}
	if t := tensorOf(v); t != nil {
		if name == "" {
			return nil
		}
		if w.tensors++; w.tensors > maxTensors {
			return errWalk
		}
		c.Tensors[strings.Clone(name)] = w.source.lazy(t)
		return nil
	}
	switch v.(type) {
	case *dict, *object:
	case *list, tuple:
		if name != "" { // lists of tensors below the top have no names that mean anything
			return nil
		}
	default:
		return nil
	}
	if _, isTuple := v.(tuple); !isTuple {
		if w.onPath[v] || depth > maxDepth {
			return nil
		}
		w.onPath[v] = true
		defer delete(w.onPath, v)
	}
	groups := [][]dictEntry{entriesOf(v)}
	if o, ok := v.(*object); ok {
		if name == "" {
			c.Class = o.class.className()
		}
		if isModule(o) {
			if c.Modules == nil {
				c.Modules = map[string]string{}
			}
			c.Modules[name] = o.class.className()
			groups = moduleParts(o)
		}
	}
	for _, entries := range groups {
		for _, e := range entries {
			key, ok := keyName(e.key)
			if !ok || skip != nil && skip(key) {
				continue
			}
			if name != "" {
				key = name + "." + key
			}
			if len(key) > maxName {
				continue
			}
			if err := w.visit(c, e.value, key, depth+1, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// cost is what looking at a value counts as visits: what it holds may be looked through for a name.
func cost(v any) int {
	switch v := v.(type) {
	case *dict:
		return 1 + len(v.entries)
	case *object:
		attrs := attributes(v.state)
		n := 1 + len(v.entries) + len(v.args) + len(attrs)
		if l, ok := get(attrs, notSaved).(*list); ok {
			n += len(l.items)
		}
		return n
	case text:
		return 1 + len(v)/64
	}
	return 1
}

// keyName spells a dictionary's key as a part of a name.
func keyName(key any) (string, bool) {
	switch key := key.(type) {
	case string:
		return key, true
	case int64:
		return strconv.FormatInt(key, 10), true
	}
	return "", false
}

// notSaved is the attribute of a module with the names of buffers that its state_dict leaves out.
const notSaved = "_non_persistent_buffers_set"

// moduleParts returns what a module's state_dict is made of: parameters, persistent buffers and submodules. In TorchScript
// they are plain attributes.
func moduleParts(o *object) [][]dictEntry {
	attrs := attributes(o.state)
	modules := get(attrs, "_modules")
	if modules == nil {
		return [][]dictEntry{attrs}
	}
	buffers := entriesOf(get(attrs, "_buffers"))
	if l, ok := get(attrs, notSaved).(*list); ok && len(l.items) > 0 {
		passing := map[string]bool{}
		for _, v := range l.items {
			if name, ok := v.(string); ok {
				passing[name] = true
			}
		}
		buffers = slices.DeleteFunc(slices.Clone(buffers), func(e dictEntry) bool {
			name, ok := e.key.(string)
			return ok && passing[name]
		})
	}
	return [][]dictEntry{entriesOf(get(attrs, "_parameters")), buffers, entriesOf(modules)}
}

// keys returns the names at the top of a checkpoint.
func keys(root any) []string {
	var out []string
	for _, e := range entriesOf(root) {
		if k, ok := e.key.(string); ok && len(out) < maxKeys {
			out = append(out, fmt.Sprintf("%.100s", k))
		}
	}
	return out
}
