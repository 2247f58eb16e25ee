package onnx

import (
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// dataTypes maps TensorProto.DataType to our names.
var dataTypes = map[uint64]raw.DType{1: raw.F32, 2: "U8", 3: raw.I8, 6: "I32", 7: "I64", 10: raw.F16, 11: raw.F64, 16: raw.BF16}

// Values of TensorProto.DataType.
const (
	typeUndefined, typeFloat, typeUint8, typeHalf, typeDouble, typeBfloat16 = 0, 1, 2, 10, 11, 16
)

// constant is a tensor of the file whose numbers are not read yet.
type constant struct {
	name     string
	dims     []int
	dtype    raw.DType
	data     []byte   // numbers, little-endian
	ints     []int64  // numbers of integer tensors that store them so: the first maxInts
	external *outside // where the numbers are if not here
	err      error    // why it cannot be used; matters only if it is
}

// maxInts is more integers than any list of axes or shape has.
const maxInts = 64

// parseTensor reads a TensorProto.
func parseTensor(msg []byte) (*constant, error) {
	c := &constant{}
	var dims []int64
	var words []byte
	var dtype uint64
	external, outside := false, outside{}
	err := fields(msg, func(num protowire.Number, v uint64, b []byte) (err error) {
		switch num {
		case tensorDims:
			dims, err = appendInts(dims, v, b)
		case tensorDataType:
			dtype = v
		case tensorName:
			c.name = string(b)
		case tensorRawData:
			c.data = slices.Clip(b) // so that append never writes behind it, where the mapped file is
		case tensorFloatData: // the same bytes as raw data
			if b == nil {
				b = binary.LittleEndian.AppendUint32(nil, uint32(v))
			}
			c.data = join(c.data, b)
		case tensorDoubleData:
			if b == nil {
				b = binary.LittleEndian.AppendUint64(nil, v)
			}
			c.data = join(c.data, b)
		case tensorInt32Data:
			if c.ints, err = appendInts(c.ints, v, b); err == nil && (dtype == typeHalf || dtype == typeBfloat16) {
				words, err = appendWords(words, v, b)
			}
		case tensorInt64Data:
			c.ints, err = appendInts(c.ints, v, b)
		case tensorExternal:
			err = outside.set(b)
		case tensorLocation:
			external = v != 0
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tensor %.100q: %w", c.name, err)
	}
	if words != nil {
		c.data = words
	}
	if external {
		c.external = &outside
		if dtype == typeUndefined { // some writers forget the type; the length is checked
			dtype = typeFloat
		}
	}
	c.dtype = dataTypes[dtype]
	c.dims, c.err = shape(dims)
	return c, nil
}

// join appends b to a without copying where a is empty.
func join(a, b []byte) []byte {
	if len(a) == 0 {
		return slices.Clip(b)
	}
	return append(a, b...)
}

func shape(dims []int64) ([]int, error) {
	s := make([]int, len(dims))
	for i, d := range dims {
		if d < 0 || d > raw.MaxElements {
			return nil, fmt.Errorf("has dimension %d", d)
		}
		s[i] = int(d)
	}
	return s, nil
}
