package oip

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud"
)

// The names of the tensors.
const (
	tensorImage     = "image"
	tensorScores    = "scores"
	tensorLogits    = "logits"
	tensorEmbedding = "embedding"
)

// Limits of a request.
const (
	// MaxBatch is the maximum number of pictures in a request.
	MaxBatch   = 64
	maxOutputs = 8
	maxDims    = 8
)

// request is a request for inference.
type request struct {
	model, version string // gRPC only
	id             string
	name, datatype string // of the input
	shape          []int64
	inputs         int
	pictures       [][]byte
	raw            bool // the input was binary, and so are outputs of gRPC
	outputs        []wanted
}

// wanted is an output that the client wants.
type wanted struct {
	name    string
	classes int64 // classification of that many; 0 means the tensor
	binary  bool  // REST only
}

func invalid(message, hint string, err error) error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: message, Hint: hint, Err: err}
}

func errMany() error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge, Message: fmt.Sprintf("A request may have at most %d pictures", MaxBatch),
		Hint: "send the rest in another request"}
}

// check returns an error unless the input is pictures.
func (q *request) check() error {
	n := int64(len(q.pictures))
	shaped := len(q.shape) == 1 && q.shape[0] == n || len(q.shape) == 2 && q.shape[0] == n && q.shape[1] == 1
	const hint = "send one input with the name image, datatype BYTES, shape [n] or [n,1], and as many JPEG, PNG, GIF, BMP or WebP files"
	switch {
	case q.inputs != 1:
		return invalid("A request must have one input", hint, nil)
	case q.name != tensorImage:
		return invalid(fmt.Sprintf("There is no input %.40q", q.name), hint, nil)
	case q.datatype != "BYTES":
		return invalid(fmt.Sprintf("Datatype %.20q is not supported", q.datatype), hint, nil)
	case n == 0 || !shaped:
		return invalid(fmt.Sprintf("The shape of %d pictures is not %.60s", n, fmt.Sprint(q.shape)), hint, nil)
	}
	for _, p := range q.pictures {
		if len(p) == 0 {
			return invalid("A picture is empty", "", nil)
		}
	}
	return nil
}

// addRaw adds the elements of a binary tensor: each begins with its length, 4 bytes, little endian.
func (q *request) addRaw(b []byte) error {
	for q.raw = true; len(b) > 0; {
		if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
			return invalid("The binary data is cut", "each picture begins with its length in 4 bytes, little endian", nil)
		}
		n := int(binary.LittleEndian.Uint32(b))
		if len(q.pictures) == MaxBatch {
			return errMany()
		}
		q.pictures = append(q.pictures, b[4:4+n:4+n])
		b = b[4+n:]
	}
	return nil
}

// parameters are those of a request, an input or an output in JSON.
type parameters struct {
	Classification int64 `json:"classification"`
	Binary         *bool `json:"binary_data"`
	BinaryOutput   bool  `json:"binary_data_output"`
	BinarySize     *int  `json:"binary_data_size"`
}

// jsonInput and jsonOutput are elements of a request in JSON.
type jsonInput struct {
	Name       string          `json:"name"`
	Datatype   string          `json:"datatype"`
	Shape      json.RawMessage `json:"shape"`
	Parameters parameters      `json:"parameters"`
	Data       json.RawMessage `json:"data"`
}

type jsonOutput struct {
	Name       string     `json:"name"`
	Parameters parameters `json:"parameters"`
}

// elements calls f with each element of an array in valid JSON, and stops at its error. An array of nothing is empty. The
// elements share the array's memory: they may be a whole request.
func elements(array []byte, f func(element []byte) error) error {
	array = bytes.TrimSpace(array)
	if len(array) == 0 || string(array) == "null" {
		return nil
	}
	if array[0] != '[' {
		return errors.New("not an array")
	}
	depth, start := 0, 1
	for i := 1; i < len(array); i++ {
		switch array[i] {
		case '"':
			for i++; i < len(array) && array[i] != '"'; i++ {
				if array[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
		case ']', '}', ',':
			last := array[i] != ','
			if depth == 0 {
				if element := bytes.TrimSpace(array[start:i]); len(element) > 0 {
					if err := f(element); err != nil {
						return err
					}
				}
				start = i + 1
			} else if last {
				depth--
			}
		}
	}
	return nil
}

// jsonMemory is how many times the memory of JSON with pictures is needed to read it: two copies, and the pictures.
const jsonMemory = 3

// readJSON reads a request in JSON, followed by binary data of inputs. It takes up to [jsonMemory] times the memory of body,
// of which the pictures remain.
func readJSON(body, data []byte) (q request, err error) {
	const hint = `send {"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["..."]}]} with the picture in Base64`
	malformed := func(err error) error {
		if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
			return e
		}
		return invalid("The body is not a request of the Open Inference Protocol", hint, err)
	}
	var whole struct {
		ID         string          `json:"id"`
		Parameters parameters      `json:"parameters"`
		Inputs     json.RawMessage `json:"inputs"`
		Outputs    json.RawMessage `json:"outputs"`
	}
	if err := json.Unmarshal(body, &whole); err != nil {
		return q, malformed(err)
	}
	q.id = whole.ID
	err = elements(whole.Inputs, func(element []byte) error {
		if q.inputs++; q.inputs > 1 {
			return q.check()
		}
		var in jsonInput
		if err := json.Unmarshal(element, &in); err != nil {
			return err
		}
		return q.addJSON(in, data)
	})
	if err != nil {
		return q, malformed(err)
	}
	err = elements(whole.Outputs, func(element []byte) error {
		var out jsonOutput
		if err := json.Unmarshal(element, &out); err != nil {
			return err
		}
		binary := whole.Parameters.BinaryOutput
		if out.Parameters.Binary != nil {
			binary = *out.Parameters.Binary
		}
		return q.want(wanted{out.Name, out.Parameters.Classification, binary})
	})
	if err != nil {
		return q, malformed(err)
	}
	if len(q.outputs) == 0 && whole.Parameters.BinaryOutput {
		q.outputs = []wanted{{binary: true}}
	}
	return q, q.check()
}

// addJSON adds an input in JSON, whose pictures may be in data.
func (q *request) addJSON(in jsonInput, data []byte) error {
	q.name, q.datatype = in.Name, in.Datatype
	err := elements(in.Shape, func(element []byte) error {
		var n int64
		if err := json.Unmarshal(element, &n); err != nil {
			return err
		}
		return q.dim(n)
	})
	if err != nil {
		return err
	}
	if size := in.Parameters.BinarySize; size != nil {
		if *size != len(data) {
			return invalid(fmt.Sprintf("binary_data_size is %d, and there are %d bytes", *size, len(data)), "", nil)
		}
		return q.addRaw(data)
	}
	if in.Datatype != "BYTES" {
		return q.check()
	}
	return elements(in.Data, q.addBase64)
}

// addBase64 adds a picture, or those of a list in a list.
func (q *request) addBase64(element []byte) error {
	if element[0] == '[' {
		return elements(element, q.addText)
	}
	return q.addText(element)
}

// addText adds a picture in a text with Base64.
func (q *request) addText(element []byte) error {
	if element[0] != '"' {
		return errors.New("data that is not text, or has more than two dimensions")
	}
	if len(q.pictures) == MaxBatch {
		return errMany()
	}
	text := element[1 : len(element)-1]
	if bytes.IndexByte(text, '\\') >= 0 { // some write \/ for a slash
		var plain string
		if err := json.Unmarshal(element, &plain); err != nil {
			return err
		}
		text = []byte(plain)
	}
	picture := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(picture, text)
	if err != nil {
		return fmt.Errorf("base64: %w", err)
	}
	q.pictures = append(q.pictures, picture[:n])
	return nil
}

// dim adds a dimension to the shape.
func (q *request) dim(n int64) error {
	if len(q.shape) == maxDims {
		return invalid("The shape has too many dimensions", "send pictures with shape [n] or [n,1]", nil)
	}
	q.shape = append(q.shape, n)
	return nil
}

// want adds an output.
func (q *request) want(w wanted) error {
	if len(q.outputs) == maxOutputs {
		return invalid(fmt.Sprintf("A request may have at most %d outputs", maxOutputs), "", nil)
	}
	q.outputs = append(q.outputs, w)
	return nil
}

var errWire = errors.New("not a message")

// fields calls f for each field of a message: number and, by type, its number or its bytes.
func fields(b []byte, f func(n protowire.Number, v uint64, data []byte) error) error {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return errWire
		}
		b = b[size:]
		var v uint64
		var data []byte
		switch kind {
		case protowire.VarintType:
			v, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(n, kind, b)
		}
		if size < 0 {
			return errWire
		}
		b = b[size:]
		if err := f(n, v, data); err != nil {
			return err
		}
	}
	return nil
}

// readProto reads a ModelInferRequest. Pictures share the memory of b.
func readProto(b []byte) (q request, err error) {
	err = fields(b, func(n protowire.Number, _ uint64, data []byte) error {
		switch n {
		case 1:
			q.model = string(data)
		case 2:
			q.version = string(data)
		case 3:
			if q.id = string(data); !utf8.ValidString(q.id) { // the response has it
				return errWire
			}
		case 5:
			if q.inputs++; q.inputs > 1 {
				return q.check()
			}
			return q.addInput(data)
		case 6:
			return q.addOutput(data)
		case 7:
			if q.raw {
				return invalid("There is more than one raw input", "", nil)
			}
			return q.addRaw(data)
		}
		return nil
	})
	if e, ok := errors.AsType[*resnet18cloud.Error](err); ok {
		return q, e
	}
	if err != nil {
		return q, invalid("The message is not a ModelInferRequest", "", err)
	}
	return q, q.check()
}

// addInput reads an InferInputTensor.
func (q *request) addInput(b []byte) error {
	return fields(b, func(n protowire.Number, v uint64, data []byte) error {
		switch {
		case n == 1:
			q.name = string(data)
		case n == 2:
			q.datatype = string(data)
		case n == 3 && data == nil:
			return q.dim(int64(v)) //nolint:gosec // as protobuf encodes negative numbers
		case n == 3: // packed
			for len(data) > 0 {
				v, size := protowire.ConsumeVarint(data)
				if size < 0 {
					return errWire
				}
				if err := q.dim(int64(v)); err != nil { //nolint:gosec // as above
					return err
				}
				data = data[size:]
			}
		case n == 5:
			return fields(data, func(n protowire.Number, _ uint64, data []byte) error {
				if n != 8 {
					return nil
				}
				if len(q.pictures) == MaxBatch {
					return errMany()
				}
				q.pictures = append(q.pictures, data)
				return nil
			})
		}
		return nil
	})
}

// addOutput reads an InferRequestedOutputTensor.
func (q *request) addOutput(b []byte) error {
	var w wanted
	err := fields(b, func(n protowire.Number, _ uint64, data []byte) error {
		if n == 1 {
			w.name = string(data)
		}
		if n != 2 {
			return nil
		}
		var key string
		var value uint64
		err := fields(data, func(n protowire.Number, _ uint64, data []byte) error {
			if n == 1 {
				key = string(data)
				return nil
			}
			return fields(data, func(_ protowire.Number, v uint64, _ []byte) error { value = v; return nil })
		})
		if key == "classification" {
			w.classes = int64(min(value, math.MaxInt32)) //nolint:gosec // in range
		}
		return err
	})
	if err != nil {
		return err
	}
	return q.want(w)
}
