package pth

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// A pickled numpy array is a call of _reconstruct, which makes an empty one, whose state is then set to
// (version, shape, dtype, is in Fortran's order, bytes). The dtype is dtype("f4", ...) with the state (version, byte order, ...).
// Protocol 2, which has no bytes, spells them as a call of encode(text, "latin1"): one character is one byte.
const (
	encode = "_codecs encode"
	dtype  = "numpy dtype"
)

// numpyTypes are the types of arrays by their names in dtypes.
var numpyTypes = map[string]raw.DType{
	"f2": raw.F16, "f4": raw.F32, "f8": raw.F64,
	"i1": raw.I8, "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64", "b1": "BOOL",
}

// array returns the view that a numpy array is, nil if o is something else. It looks at an object once: its bytes may be a long text,
// and any number of names may stand for it.
func array(o *object) *view {
	if !o.known {
		o.array, o.known = newArray(o), true
	}
	return o.array
}

func newArray(o *object) *view {
	module, name, _ := strings.Cut(string(o.class), " ")
	if !strings.HasPrefix(module, "numpy") {
		return nil
	}
	var shape []int
	var ok, fortran bool
	var typ, data any
	switch name {
	case "_reconstruct":
		state, _ := o.state.(tuple)
		if len(state) != 5 {
			return nil
		}
		shape, ok = ints(state[1])
		fortran, _ = state[3].(bool)
		typ, data = state[2], state[4]
	case "_frombuffer": // protocol 5: (bytes, dtype, shape, order)
		if len(o.args) != 4 {
			return nil
		}
		shape, ok = ints(o.args[2])
		fortran = o.args[3] == "F"
		typ, data = o.args[1], o.args[0]
	}
	elements := arrayType(typ)
	bytesOf, size := arrayBytes(data)
	if !ok || elements == "" || bytesOf == nil {
		return nil
	}
	n := size / int64(elements.Size())
	v := newView(&storage{dtype: elements, elements: n, count: n, inline: bytesOf}, 0, shape, strides(shape, fortran))
	if want := tensor.Size(shape); v.err == nil && int64(want) != n {
		v.err = fmt.Errorf("has %d elements, its shape %v wants %d", n, shape, want)
	}
	return v
}

// arrayType reads a dtype: "" if it is not one of numbers in little-endian order.
func arrayType(v any) raw.DType {
	o, ok := v.(*object)
	if !ok || o.class != dtype {
		return ""
	}
	name, _ := first(o.args).(string)
	state, _ := o.state.(tuple)
	if len(state) > 1 && state[1] == ">" {
		return ""
	}
	return numpyTypes[strings.TrimLeft(name, "<|=")]
}

// arrayBytes returns how the bytes of an array are read, and their number.
func arrayBytes(v any) (func() ([]byte, error), int64) {
	plain := func(b []byte) (func() ([]byte, error), int64) {
		return func() ([]byte, error) { return b, nil }, int64(len(b))
	}
	switch v := v.(type) {
	case blob:
		return plain(v)
	case string: // of Python 2
		return plain([]byte(v))
	case *object:
		if v.class != encode || len(v.args) != 2 || v.args[1] != "latin1" && v.args[1] != "latin-1" {
			return nil, 0
		}
		var b []byte
		switch t := v.args[0].(type) {
		case text:
			b = t
		case string:
			b = []byte(t)
		default:
			return nil, 0
		}
		n := utf8.RuneCount(b)
		return func() ([]byte, error) { return latin1(b, n) }, int64(n)
	}
	return nil, 0
}

// latin1 turns n characters back into the bytes that they stand for.
func latin1(text []byte, n int) ([]byte, error) {
	out := make([]byte, 0, n)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r > 0xff || r == utf8.RuneError {
			return nil, errors.New("its bytes are not spelled in latin-1")
		}
		out = append(out, byte(r))
		text = text[size:]
	}
	return out, nil
}

// strides returns those of a contiguous array.
func strides(shape []int, fortran bool) []int {
	out := make([]int, len(shape))
	n := 1
	for i := range shape {
		d := len(shape) - 1 - i
		if fortran {
			d = i
		}
		out[d] = n
		n = min(n*max(shape[d], 1), maxStored) // a shape that is too large is refused elsewhere
	}
	return out
}
