package target

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// OIP is a server of the Open Inference Protocol v2 (KServe, Triton, OpenVINO, MLServer ...), which takes tensors.
// Describe reports which tensor the model takes, and Encode turns an image's values into a request.
type OIP struct {
	Client *http.Client
	URL    string // of the server, without a path
	Model  string
	// Binary sends the tensor in Triton's binary extension instead of JSON, a third of the bytes.
	Binary bool
	// Labels are the classes of the output, by index.
	Labels func(class int) string
	// Header is added to each request.
	Header http.Header
}

// Tensor is the input of a model.
type Tensor struct {
	Name  string
	Shape []int // of one image, with a batch dimension if the model has one: 1x3x224x224 or 1x224x224x3
}

// ChannelsLast reports whether the last dimension holds the colour channels.
func (t Tensor) ChannelsLast() bool { return t.Shape[len(t.Shape)-1] == 3 }

func (o OIP) model() string {
	return strings.TrimSuffix(o.URL, "/") + "/v2/models/" + url.PathEscape(o.Model)
}

// Describe requests the model's input from the server (GET /v2/models/MODEL).
func (o OIP) Describe(ctx context.Context) (Tensor, error) {
	t, err := o.describe(ctx)
	if err != nil {
		return Tensor{}, fmt.Errorf("describe %s: %w", o.model(), err)
	}
	return t, nil
}

func (o OIP) describe(ctx context.Context) (Tensor, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.model(), http.NoBody)
	if err != nil {
		return Tensor{}, err
	}
	maps.Copy(request.Header, o.Header)
	response, err := o.Client.Do(request)
	if err != nil {
		return Tensor{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return Tensor{}, fmt.Errorf("%s; check the model's name", response.Status)
	}
	var metadata struct {
		Inputs []struct {
			Name     string `json:"name"`
			Datatype string `json:"datatype"`
			Shape    []int  `json:"shape"`
		} `json:"inputs"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswerBytes)).Decode(&metadata); err != nil {
		return Tensor{}, fmt.Errorf("read metadata: %w", err)
	}
	for _, input := range metadata.Inputs {
		if shape, ok := imageShape(input.Shape); ok && input.Datatype == "FP32" {
			return Tensor{input.Name, shape}, nil
		}
	}
	return Tensor{}, fmt.Errorf("no input is FP32 of 3x224x224 or 224x224x3: %v", metadata.Inputs)
}

// imageShape returns the shape of one image of 224x224 that matches shape, in which -1 stands for any size.
func imageShape(shape []int) (image []int, ok bool) {
	for _, want := range [][]int{{1, 3, 224, 224}, {1, 224, 224, 3}, {3, 224, 224}, {224, 224, 3}} {
		if len(shape) == len(want) && fits(shape, want) {
			return want, true
		}
	}
	return nil, false
}

// fits reports whether a tensor of the shape want matches shape. The number of channels must be given: otherwise it is
// not known which dimension holds them.
func fits(shape, want []int) bool {
	for i, n := range shape {
		if n != want[i] && (n != -1 || want[i] == 3) {
			return false
		}
	}
	return true
}

// Encode returns the body of a request. The values are in the order of t's shape.
func (o OIP) Encode(t Tensor, values []float32) ([]byte, error) {
	type input struct {
		Name       string          `json:"name"`
		Shape      []int           `json:"shape"`
		Datatype   string          `json:"datatype"`
		Parameters map[string]int  `json:"parameters,omitempty"`
		Data       json.RawMessage `json:"data,omitempty"`
	}
	in := input{Name: t.Name, Shape: t.Shape, Datatype: "FP32"}
	if o.Binary {
		in.Parameters = map[string]int{"binary_data_size": 4 * len(values)}
	} else {
		in.Data = jsonNumbers(values)
	}
	body, err := json.Marshal(map[string][]input{"inputs": {in}})
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	if o.Binary {
		// A header, which is the same for all requests, tells the server how long the JSON is: pad the JSON.
		if len(body) > binaryHeader {
			return nil, errors.New("encode request: the input's name is too long")
		}
		body = append(body, strings.Repeat(" ", binaryHeader-len(body))...)
		for _, v := range values {
			body = binary.LittleEndian.AppendUint32(body, math.Float32bits(v))
		}
	}
	return body, nil
}

// binaryHeader is the length of the JSON before binary tensors.
const binaryHeader = 512

func jsonNumbers(values []float32) []byte {
	data := make([]byte, 0, 10*len(values))
	for i, v := range values {
		data = append(data, "[,"[min(i, 1)])
		data = strconv.AppendFloat(data, float64(v), 'g', -1, 32)
	}
	return append(data, ']')
}

// Target returns the target for requests that Encode has made.
func (o OIP) Target() HTTP {
	header := http.Header{"Content-Type": {"application/json"}}
	if o.Binary {
		header = http.Header{
			"Content-Type":                    {"application/octet-stream"},
			"Inference-Header-Content-Length": {strconv.Itoa(binaryHeader)},
		}
	}
	maps.Copy(header, o.Header)
	return HTTP{Client: o.Client, URL: o.model() + "/infer", Header: header, Ready: o.model() + "/ready", Label: o.label}
}

// label finds the best class in an answer: the class with the largest score, or the first string, which has the form
// "score:index:label" of Triton's classification extension.
func (o OIP) label(answer []byte) (string, error) {
	var body struct {
		Outputs []struct {
			Datatype string          `json:"datatype"`
			Data     json.RawMessage `json:"data"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		return "", err
	}
	if len(body.Outputs) == 0 {
		return "", errors.New("no outputs")
	}
	data := unnested(body.Outputs[0].Data)
	if body.Outputs[0].Datatype == "BYTES" {
		var texts []string
		if err := json.Unmarshal(data, &texts); err != nil || len(texts) == 0 {
			return "", errors.New("no label in the output")
		}
		return texts[0][strings.LastIndexByte(texts[0], ':')+1:], nil
	}
	var scores []float64
	if err := json.Unmarshal(data, &scores); err != nil || len(scores) != 1000 {
		return "", fmt.Errorf("%d scores in the output, want 1000", len(scores))
	}
	return o.Labels(slices.Index(scores, slices.Max(scores))), nil
}

// unnested returns a tensor's data without the brackets of its batch: the protocol allows flat and nested data.
func unnested(data json.RawMessage) json.RawMessage {
	for {
		var inner []json.RawMessage
		if json.Unmarshal(data, &inner) != nil || len(inner) != 1 || len(inner[0]) == 0 || inner[0][0] != '[' {
			return data
		}
		data = inner[0]
	}
}
