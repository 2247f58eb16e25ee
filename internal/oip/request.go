package oip

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/resnet18cloud/resnet18cloud"
)

// The names of the tensors.
const (
	tensorImage     = "image"
	tensorPrepared  = "tensor"
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
	// maxSide is the largest side of a prepared tensor in pixels: more than that of any model's input.
	maxSide = 1024
)

// request is a request for inference.
type request struct {
	model, version string // gRPC only
	id             string
	name, datatype string // of the input
	shape          []int64
	inputs         int
	pictures       [][]byte
	values         []byte // of a prepared tensor: float32, little endian; pictures are its parts
	binary         []byte // the input, if it is binary
	raw            bool   // the input was binary, and so are outputs of gRPC
	outputs        []wanted
	timeout        time.Duration // 0 means none
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

// prepared reports whether the input is a tensor instead of pictures.
func (q *request) prepared() bool { return q.name == tensorPrepared }

// check returns an error unless the input is pictures or a prepared tensor, of which it makes pictures.
func (q *request) check() error {
	n := int64(len(q.pictures))
	shaped := len(q.shape) == 1 && q.shape[0] == n || len(q.shape) == 2 && q.shape[0] == n && q.shape[1] == 1
	const hint = "send one input with the name image, datatype BYTES, shape [n] or [n,1], and as many JPEG, PNG, GIF, BMP or WebP files, " +
		"or with the name tensor, datatype FP32 and shape [n,3,h,w]"
	switch {
	case q.inputs != 1:
		return invalid("A request must have one input", hint, nil)
	case q.prepared():
		return q.cut()
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

// size returns how many bytes each picture of a prepared tensor has.
func (q *request) size() (int, error) {
	const hint = "send datatype FP32 and shape [n,3,h,w], as wide as high"
	switch s := q.shape; {
	case q.datatype != "FP32":
		return 0, invalid(fmt.Sprintf("Datatype %.20q is not supported for the input tensor", q.datatype), hint, nil)
	case len(s) != 4 || s[0] < 1 || s[1] != 3 || s[2] != s[3] || s[2] < 1 || s[2] > maxSide:
		return 0, invalid(fmt.Sprintf("The shape %.60s is not one of prepared pictures", fmt.Sprint(s)), hint, nil)
	case s[0] > MaxBatch:
		return 0, errMany()
	}
	return int(4 * 3 * q.shape[2] * q.shape[3]), nil
}

// cut makes pictures of the parts of a prepared tensor.
func (q *request) cut() error {
	each, err := q.size()
	if err != nil {
		return err
	}
	n := int(q.shape[0])
	if len(q.values) != n*each {
		return invalid(fmt.Sprintf("The tensor has %d bytes, and with its shape it would have %d", len(q.values), n*each), "", nil)
	}
	q.pictures = make([][]byte, n)
	for i := range n {
		q.pictures[i] = q.values[i*each : (i+1)*each : (i+1)*each]
	}
	return nil
}

// useBinary takes the binary data of the input, when it is known what that is.
func (q *request) useBinary() error {
	switch {
	case !q.raw:
		return nil
	case !q.prepared() && q.datatype != "BYTES":
		return q.check()
	case !q.prepared():
		return q.addRaw(q.binary)
	case q.values != nil:
		return invalid("The tensor has binary data and contents", "send one of them", nil)
	}
	q.values = q.binary
	return nil
}

// addRaw adds the elements of a binary tensor: each begins with its length, 4 bytes, little endian.
func (q *request) addRaw(b []byte) error {
	for len(b) > 0 {
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

// jsonInput and jsonOutput are elements of a request in JSON.
type jsonInput struct {
	Name       string          `json:"name"`
	Datatype   string          `json:"datatype"`
	Shape      json.RawMessage `json:"shape"`
	Parameters json.RawMessage `json:"parameters"`
	Data       json.RawMessage `json:"data"`
}

type jsonOutput struct {
	Name       string          `json:"name"`
	Parameters json.RawMessage `json:"parameters"`
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
	return parts(array, f)
}

// members calls f with each name and value of an object in valid JSON, as elements does.
func members(object []byte, f func(name string, value []byte) error) error {
	object = bytes.TrimSpace(object)
	if len(object) == 0 || string(object) == "null" {
		return nil
	}
	if object[0] != '{' {
		return errors.New("not an object")
	}
	return parts(object, func(part []byte) error {
		end := endOfText(part, 0) + 1
		var name string
		if err := json.Unmarshal(part[:end], &name); err != nil {
			return err
		}
		return f(name, bytes.TrimSpace(bytes.TrimSpace(part[end:])[1:])) // after the colon
	})
}

// endOfText returns the position of the quotation mark that ends the text that begins at one.
func endOfText(b []byte, start int) int {
	for i := start + 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(b) - 1
}

// parts calls f with what is between the commas of an array or object in valid JSON.
func parts(whole []byte, f func(part []byte) error) error {
	depth, start := 0, 1
	for i := 1; i < len(whole); i++ {
		switch whole[i] {
		case '"':
			i = endOfText(whole, i)
		case '[', '{':
			depth++
		case ']', '}', ',':
			last := whole[i] != ','
			if depth == 0 {
				if part := bytes.TrimSpace(whole[start:i]); len(part) > 0 {
					if err := f(part); err != nil {
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

// jsonMemory is how many times the memory of JSON is needed to read it: two copies, and the pictures or, at most twice as large
// because a number has two characters or more, a tensor.
const jsonMemory = 4

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
	if err := json.Unmarshal(body, &struct{}{}); err != nil { // the rest needs valid JSON
		return q, malformed(err)
	}
	whole := map[string][]byte{}
	err = members(body, func(name string, value []byte) error {
		whole[name] = value
		return known(ofRequest, name, "id", "model_name", "model_version", "parameters", "inputs", "outputs")
	})
	var options parameters
	if err == nil {
		err = options.readJSON(ofRequest, whole["parameters"])
	}
	if id := whole["id"]; err == nil && id != nil {
		err = json.Unmarshal(id, &q.id)
	}
	if err != nil {
		return q, malformed(err)
	}
	q.timeout = options.timeout
	err = elements(whole["inputs"], func(element []byte) error {
		if q.inputs++; q.inputs > 1 {
			return q.check()
		}
		return q.addJSON(element, data)
	})
	if err != nil {
		return q, malformed(err)
	}
	err = elements(whole["outputs"], func(element []byte) error {
		return q.wantJSON(element, options.binaryOutput)
	})
	if err != nil {
		return q, malformed(err)
	}
	if len(q.outputs) == 0 && options.binaryOutput {
		q.outputs = []wanted{{binary: true}}
	}
	return q, q.check()
}

// wantJSON adds an output in JSON. binary says how it is returned if its parameters do not.
func (q *request) wantJSON(element []byte, binary bool) error {
	var out jsonOutput
	if err := object(ofOutput, element, &out, "name", "parameters"); err != nil {
		return err
	}
	options := parameters{binary: binary}
	if err := options.readJSON(ofOutput, out.Parameters); err != nil {
		return err
	}
	return q.want(wanted{out.Name, options.classification, options.binary})
}

// object reads an object in JSON. The error is that of a field that is not among names, if it has one.
func object(at place, text []byte, into any, names ...string) error {
	err := members(text, func(name string, _ []byte) error { return known(at, name, names...) })
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// addJSON adds an input in JSON, whose pictures may be in data.
func (q *request) addJSON(element, data []byte) error {
	var in jsonInput
	if err := object(ofInput, element, &in, "name", "datatype", "shape", "parameters", "data"); err != nil {
		return err
	}
	var options parameters
	if err := options.readJSON(ofInput, in.Parameters); err != nil {
		return err
	}
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
	if size := options.binarySize; size != nil {
		if *size != len(data) {
			return invalid(fmt.Sprintf("binary_data_size is %d, and there are %d bytes", *size, len(data)), "", nil)
		}
		q.raw, q.binary = true, data
		return q.useBinary()
	}
	if q.prepared() {
		return q.addNumbers(in.Data)
	}
	if in.Datatype != "BYTES" {
		return q.check()
	}
	return elements(in.Data, q.addBase64)
}

// addNumbers adds the values of a prepared tensor, in one list or in lists of lists.
func (q *request) addNumbers(data []byte) error {
	each, err := q.size()
	if err != nil {
		return err
	}
	count := int(q.shape[0]) * each / 4
	if count > len(data)/2 { // a number and a comma
		return invalid(fmt.Sprintf("The tensor has fewer values than its shape, %d", count), "", nil)
	}
	q.values = make([]byte, 0, 4*count)
	var add func(element []byte, depth int) error
	add = func(element []byte, depth int) error {
		switch {
		case element[0] == '[' && depth == 4:
			return errors.New("data of more than four dimensions")
		case element[0] == '[':
			return elements(element, func(e []byte) error { return add(e, depth+1) })
		case len(q.values) == cap(q.values):
			return invalid(fmt.Sprintf("The tensor has more values than its shape, %d", count), "", nil)
		}
		x, err := strconv.ParseFloat(string(element), 32)
		if err != nil {
			return fmt.Errorf("a value is not a number of float32: %.40q", element)
		}
		q.values = binary.LittleEndian.AppendUint32(q.values, math.Float32bits(float32(x)))
		return nil
	}
	return elements(data, func(e []byte) error { return add(e, 1) })
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
		case 4:
			return q.addParameter(data)
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
			q.raw, q.binary = true, data
		}
		return nil
	})
	if err == nil {
		err = q.useBinary()
	}
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
		case n == 4:
			return new(parameters).readProto(ofInput, data)
		case n == 5:
			return fields(data, func(n protowire.Number, _ uint64, data []byte) error {
				if n == 6 {
					if data == nil || q.values != nil {
						return invalid("fp32_contents is not packed into one field", "send raw_input_contents", nil)
					}
					q.values = data
				}
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

// addParameter reads a parameter of the request.
func (q *request) addParameter(b []byte) error {
	options := parameters{timeout: q.timeout}
	err := options.readProto(ofRequest, b)
	q.timeout = options.timeout
	return err
}

// addOutput reads an InferRequestedOutputTensor.
func (q *request) addOutput(b []byte) error {
	var w wanted
	var options parameters
	err := fields(b, func(n protowire.Number, _ uint64, data []byte) error {
		switch n {
		case 1:
			w.name = string(data)
		case 2:
			return options.readProto(ofOutput, data)
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.classes = options.classification
	return q.want(w)
}
