package pth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// call pushes what stands for the result of a call or for a new instance. Nothing is called: the few functions that make
// tensors and containers are described here, all others become objects.
func (m *machine) call(op byte) error {
	var class any
	var args tuple
	var err error
	switch op {
	case 'i': // INST
		var module, name string
		if module, name, err = m.lines(); err == nil {
			class = global(module + " " + name)
			args, err = m.popMark()
		}
	case 'o': // OBJ
		if args, err = m.popMark(); err == nil && len(args) == 0 {
			err = errors.New("no class")
		}
		if err == nil {
			class, args = args[0], args[1:]
		}
	default:
		class, args, err = m.popCall(op)
	}
	if err != nil {
		return err
	}
	v, err := m.result(class, args)
	m.push(v)
	return err
}

// popCall takes the function or class, the arguments and for NEWOBJ_EX the named arguments, which count as one more.
func (m *machine) popCall(op byte) (class any, args tuple, err error) {
	var named any
	if op == 0x92 {
		if named, err = m.pop(); err != nil {
			return nil, nil, err
		}
	}
	v, err := m.pop()
	if err != nil {
		return nil, nil, err
	}
	args, isTuple := v.(tuple)
	if !isTuple {
		args = tuple{v}
	}
	if d, ok := named.(*dict); ok && len(d.entries) > 0 {
		args = append(args[:len(args):len(args)], d)
		err = m.charge(len(args))
	}
	if err != nil {
		return nil, nil, err
	}
	class, err = m.pop()
	return class, args, err
}

// result describes what class, called with args, returns.
func (m *machine) result(class any, args tuple) (any, error) {
	g, _ := class.(global)
	if g.isAttack() {
		return nil, fmt.Errorf("the file calls %s: it runs commands where PyTorch loads it, do not trust it (nothing was run here)", g.dotted())
	}
	switch g {
	case "collections OrderedDict", "builtins dict", "__builtin__ dict":
		return m.dictOf(args)
	case "builtins set", "__builtin__ set", "builtins frozenset", "__builtin__ frozenset", "builtins list", "__builtin__ list":
		if l, ok := first(args).(*list); ok && len(args) == 1 {
			return &list{slices.Clone(l.items)}, m.charge(len(l.items))
		}
	case "torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3":
		// (storage, offset, shape, stride, requires_grad, hooks, dtype)
		if v := newTensor(args); v != nil {
			return v, m.charge(tensorSteps)
		}
	case "torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state": // (tensor, requires_grad, hooks)
		if v, ok := first(args).(*view); ok {
			return v, nil
		}
	case "torch._tensor _rebuild_from_type_v2", "torch._tensor _rebuild_from_type", "torch.tensor _rebuild_from_type":
		// (function, type, arguments, state): a subclass of Tensor
		if len(args) >= 3 {
			if inner, ok := args[2].(tuple); ok {
				if f, ok := args[0].(global); ok && strings.HasPrefix(string(f), "torch._utils _rebuild_") {
					return m.result(f, inner)
				}
			}
		}
	case "copyreg _reconstructor", "copy_reg _reconstructor": // (class, base, value of the base): an instance in protocols 0 and 1
		if c, ok := first(args).(global); ok && len(args) == 3 {
			o := &object{class: c}
			switch base := args[2].(type) {
			case *dict:
				o.entries = slices.Clone(base.entries)
			case *list:
				o.items = slices.Clone(base.items)
			}
			return o, m.charge(len(o.entries) + len(o.items))
		}
	case "torch.jit._pickle build_intlist", "torch.jit._pickle build_doublelist", "torch.jit._pickle build_boollist",
		"torch.jit._pickle build_tensorlist", "torch.jit._pickle restore_type_tag":
		if len(args) > 0 {
			return args[0], nil
		}
	case "torch.storage _load_from_bytes": // pickle.dump of tensors writes each storage as a legacy checkpoint
		if b, ok := first(args).(blob); ok && len(args) == 1 {
			return m.nested(b)
		}
	}
	return &object{class: g, args: args}, nil
}

func first(args tuple) any {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}

// dictOf makes a dictionary of another, of a list of pairs (as Python 2 wrote OrderedDict), or of nothing.
func (m *machine) dictOf(args tuple) (any, error) {
	d := &dict{}
	switch v := first(args).(type) {
	case *dict:
		d.entries = append(d.entries, v.entries...)
	case *list:
		for _, pair := range v.items {
			kv, ok := pair.(tuple)
			if l, isList := pair.(*list); isList {
				kv, ok = l.items, true
			}
			if !ok || len(kv) != 2 {
				return &object{class: "collections OrderedDict", args: args}, nil
			}
			d.entries = append(d.entries, dictEntry{kv[0], kv[1]})
		}
	}
	return d, m.charge(len(d.entries))
}

// persistent turns a persistent id into a storage or a class: ("storage", class, key, device, elements[, view]) or
// ("module", class, file, source).
func (m *machine) persistent(op byte) error {
	if op == 'P' {
		b, err := m.line()
		m.push(&object{class: "persistent id", args: tuple{blob(b)}})
		return err
	}
	v, err := m.pop()
	if err != nil {
		return err
	}
	id, _ := v.(tuple)
	switch first(id) {
	case "storage":
		s, err := m.storage(id)
		m.push(s)
		return err
	case "module":
		if len(id) > 1 {
			m.push(id[1])
			return nil
		}
	}
	m.push(&object{class: "persistent id", args: id})
	return nil
}

// storage finds or notes the storage that an id names. PyTorch before 0.4 let a storage be a part of another: the id's last
// element is then (key, first element, elements).
func (m *machine) storage(id tuple) (*storage, error) {
	if len(id) < 5 {
		return nil, fmt.Errorf("storage id has %d elements, want at least 5", len(id))
	}
	class, isGlobal := id[1].(global)
	key, isString := id[2].(string)
	elements, isNumber := id[4].(int64)
	if n, ok := id[2].(int64); ok { // the first versions wrote the address as a number
		key, isString = fmt.Sprint(n), true
	}
	if !isGlobal || !isString || !isNumber || elements < 0 || elements > maxStored {
		return nil, fmt.Errorf("storage id is (%s, %s, %s), want (class, string, number)", kind(id[1]), kind(id[2]), kind(id[4]))
	}
	dtype := class.elementType()
	if dtype == "" {
		return nil, fmt.Errorf("storage %q is of unknown class %s", key, class.dotted())
	}
	s := m.storages[key]
	if s == nil {
		s = &storage{key: key, dtype: dtype, elements: elements, count: elements}
		m.storages[key] = s
	}
	if s.dtype != dtype || s.elements != elements {
		return nil, fmt.Errorf("storage %q is described twice: %d %s and %d %s", key, s.elements, s.dtype, elements, dtype)
	}
	if len(id) > 5 && id[5] != nil {
		part, _ := id[5].(tuple)
		if len(part) != 3 {
			return nil, fmt.Errorf("storage %q is a part of another: want (key, offset, elements)", key)
		}
		from, ok := part[1].(int64)
		count, ok2 := part[2].(int64)
		if !ok || !ok2 || from < 0 || count < 0 || from > elements || count > elements-from {
			return nil, fmt.Errorf("storage %q has %d elements, its part is (%v, %v)", key, elements, part[1], part[2])
		}
		return &storage{key: key, dtype: dtype, elements: elements, from: from, count: count}, nil
	}
	return s, nil
}

// newTensor reads the arguments of _rebuild_tensor and its later versions; nil if they are something else.
func newTensor(args tuple) *view {
	if len(args) < 4 {
		return nil
	}
	s, isStorage := args[0].(*storage)
	offset, isNumber := args[1].(int64)
	shape, isShape := ints(args[2])
	stride, isStride := ints(args[3])
	if !isStorage || !isNumber || !isShape || !isStride {
		return nil
	}
	if len(args) > 6 { // version 3: bytes of a type that has no storage class
		g, _ := args[6].(global)
		dtype, known := torchTypes[g]
		if !known || s.from != 0 || s.dtype.Size() != 1 {
			return nil
		}
		n := s.elements / int64(dtype.Size())
		s = &storage{key: s.key, dtype: dtype, elements: n, count: n, inline: s.inline}
	}
	return newView(s, offset, shape, stride)
}

// torchTypes are the element types that _rebuild_tensor_v3 names.
var torchTypes = map[global]raw.DType{
	"torch float64": raw.F64, "torch float32": raw.F32, "torch float16": raw.F16, "torch bfloat16": raw.BF16,
	"torch float8_e4m3fn": "F8_E4M3", "torch float8_e5m2": "F8_E5M2",
	"torch uint16": "U16", "torch uint32": "U32", "torch uint64": "U64",
}

// ints reads a tuple or list of numbers.
func ints(v any) ([]int, bool) {
	var items []any
	switch v := v.(type) {
	case tuple:
		items = v
	case *list:
		items = v.items
	case *object: // torch.Size((2, 3))
		if v.class == "torch Size" {
			return ints(first(v.args))
		}
		return nil, false
	default:
		return nil, false
	}
	if len(items) > maxDims {
		return nil, false
	}
	out := make([]int, len(items))
	for i, x := range items {
		n, ok := x.(int64)
		if !ok || int64(int(n)) != n {
			return nil, false
		}
		out[i] = int(n)
	}
	return out, true
}
