package onnx

import (
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of the messages in onnx.proto3 that we read.
const (
	modelGraph, modelOpset, modelMetadata, modelFunctions = 7, 8, 14, 25

	opsetDomain, opsetVersion = 1, 2

	entryKey, entryValue = 1, 2

	graphNode, graphInitializer, graphInput, graphOutput = 1, 5, 11, 12

	nodeInput, nodeOutput, nodeName, nodeOpType, nodeAttribute, nodeDomain = 1, 2, 3, 4, 5, 7

	attributeName, attributeFloat, attributeInt, attributeString, attributeTensor, attributeFloats, attributeInts = 1, 2, 3, 4, 5, 7, 8

	tensorDims, tensorDataType, tensorFloatData, tensorInt32Data, tensorInt64Data = 1, 2, 4, 5, 7
	tensorName, tensorRawData, tensorDoubleData, tensorExternal, tensorLocation   = 8, 9, 10, 13, 14

	valueName, valueType       = 1, 2
	typeTensor                 = 1
	tensorTypeElem, tensorType = 1, 2
	shapeDim, dimValue         = 1, 1

	functionName = 1
)

// fields calls f for each field of a message: with a number for varints, 32-bit and 64-bit fields, with bytes (not
// nil) for the rest.
func fields(msg []byte, f func(num protowire.Number, v uint64, b []byte) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		var v uint64
		var b []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(msg)
		case protowire.Fixed32Type:
			var v32 uint32
			v32, n = protowire.ConsumeFixed32(msg)
			v = uint64(v32)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(msg)
		case protowire.BytesType:
			if b, n = protowire.ConsumeBytes(msg); b == nil {
				b = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, msg)
		}
		if n < 0 {
			return fmt.Errorf("field %d, %d bytes before the end (is the file truncated?): %w", num, len(msg), protowire.ParseError(n))
		}
		if err := f(num, v, b); err != nil {
			return err
		}
		msg = msg[n:]
	}
	return nil
}

// stringField returns a field that is text, the last one if there are several.
func stringField(msg []byte, want protowire.Number) (s string, err error) {
	err = fields(msg, func(num protowire.Number, _ uint64, b []byte) error {
		if num == want {
			s = string(b)
		}
		return nil
	})
	return s, err
}

// appendFloats adds a repeated float field's value: the bits of one number, or several in packed form.
func appendFloats(to []float32, bits uint64, packed []byte) []float32 {
	if packed == nil {
		return append(to, math.Float32frombits(uint32(bits)))
	}
	for ; len(packed) >= 4; packed = packed[4:] {
		to = append(to, math.Float32frombits(binary.LittleEndian.Uint32(packed)))
	}
	return to
}

// appendInts adds a repeated integer field's value: one number, or several in packed form, up to maxInts in all.
func appendInts(to []int64, v uint64, packed []byte) ([]int64, error) {
	if packed == nil {
		if len(to) < maxInts {
			to = append(to, int64(v))
		}
		return to, nil
	}
	for len(packed) > 0 && len(to) < maxInts {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		to = append(to, int64(v))
		packed = packed[n:]
	}
	return to, nil
}

// appendWords adds int32_data to little-endian numbers of 16 bits, which is how half precision is stored there.
func appendWords(to []byte, v uint64, packed []byte) ([]byte, error) {
	if packed == nil {
		return binary.LittleEndian.AppendUint16(to, uint16(v)), nil
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		to = binary.LittleEndian.AppendUint16(to, uint16(v))
		packed = packed[n:]
	}
	return to, nil
}
