package oip_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/resnet18cloud/resnet18cloud/internal/oip"
	"github.com/resnet18cloud/resnet18cloud/internal/oip/oippb"
)

// planes are the values of prepared pictures of 4x4 pixels, each with its first value.
func planes(firsts ...float32) (values []float32) {
	for _, first := range firsts {
		values = append(append(values, first), make([]float32, 3*4*4-1)...)
	}
	return values
}

func littleEndian(values []float32) (b []byte) {
	for _, x := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// TestTensorsGRPC sends prepared tensors as contents and as raw contents.
func TestTensorsGRPC(t *testing.T) {
	t.Parallel()
	c := client(t, serve(t, nil))
	request := func(values []float32, raw bool, shape ...int64) *oippb.ModelInferRequest {
		in := &oippb.ModelInferRequest_InferInputTensor{Name: "tensor", Datatype: "FP32", Shape: shape}
		q := &oippb.ModelInferRequest{ModelName: "m", Inputs: []*oippb.ModelInferRequest_InferInputTensor{in}}
		if raw {
			q.RawInputContents = [][]byte{littleEndian(values)}
		} else {
			in.Contents = &oippb.InferTensorContents{Fp32Contents: values}
		}
		return with(q, 0, "logits", "embedding")
	}
	for _, raw := range []bool{false, true} {
		r, err := c.ModelInfer(t.Context(), request(planes(1, 2), raw, 2, 3, 4, 4))
		got := fmt.Sprint(r.GetOutputs())
		if raw {
			got = fmt.Sprintf("%x", r.GetRawOutputContents())
		}
		for _, want := range map[bool][]string{false: {"fp32_contents:0", "fp32_contents:192"}, true: {
			fmt.Sprintf("%x", littleEndian([]float32{0, 2, 1, 1, 0, 2})), fmt.Sprintf("%x", littleEndian([]float32{1, 192, 2, 192}))}}[raw] {
			if err != nil || !strings.Contains(got, want) {
				t.Errorf("raw %t: %v, %v; want %s", raw, got, err, want)
			}
		}
	}
	both := request(planes(1), false, 1, 3, 4, 4)
	both.RawInputContents = [][]byte{littleEndian(planes(1))}
	pictures, named := request(planes(1), true, 1, 3, 4, 4), request(planes(1), true, 1, 3, 4, 4)
	pictures.Inputs[0].Datatype, named.Inputs[0].Name = "BYTES", "image"
	for name, test := range map[string]struct {
		q    *oippb.ModelInferRequest
		want string
	}{
		"channels last": {request(planes(1), true, 1, 4, 4, 3), "The shape [1 4 4 3]"},
		"not square":    {request(planes(1), true, 1, 3, 2, 8), "The shape [1 3 2 8]"},
		"one dimension": {request(planes(1), true, 48), "The shape [48]"},
		"none":          {request(nil, true, 0, 3, 4, 4), "The shape [0 3 4 4]"},
		"large":         {request(planes(1), true, 1, 3, 1<<40, 1<<40), "The shape [1 3"},
		"many":          {request(planes(1), true, oip.MaxBatch+1, 3, 1, 1), "at most 64"},
		"short":         {request(planes(1), true, 2, 3, 4, 4), "The tensor has 192 bytes, and with its shape it would have 384"},
		"long":          {request(planes(1, 2), false, 1, 3, 4, 4), "The tensor has 384 bytes"},
		"two kinds":     {both, "binary data and contents"},
		"BYTES":         {pictures, `"BYTES" is not supported for the input tensor`},
		"called image":  {named, "is not supported"},
	} {
		if _, err := c.ModelInfer(t.Context(), test.q); status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), test.want) {
			t.Errorf("%s: %v; want %q", name, err, test.want)
		}
	}
	m, err := c.ModelMetadata(t.Context(), &oippb.ModelMetadataRequest{Name: "m"})
	if in := m.GetInputs(); err != nil || len(in) != 2 || in[1].GetName() != "tensor" || in[1].GetDatatype() != "FP32" || fmt.Sprint(in[1].GetShape()) != "[-1 3 -1 -1]" {
		t.Errorf("metadata %v, %v", in, err)
	}
}

// TestTensorsREST sends prepared tensors as numbers, flat and nested, and as binary data.
func TestTensorsREST(t *testing.T) {
	t.Parallel()
	url := serve(t, nil)
	post := func(body string, header int) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v2/models/m/infer", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if header > 0 {
			r.Header.Set("Inference-Header-Content-Length", strconv.Itoa(header))
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	in := func(shape, rest string) string {
		return fmt.Sprintf(`{"inputs":[{"name":"tensor","shape":%s,"datatype":"FP32",%s}],"outputs":[{"name":"logits"},{"name":"embedding"}]}`, shape, rest)
	}
	nested := `[[[2.0]],[[-1]],[[1e-3]]]`
	zeros := strings.Repeat("0,", 11)
	const two = `"shape":[2,3],"data":[1,0,2,2,1,0]},{"name":"embedding","datatype":"FP32","shape":[2,2],"data":[2,12,0,12]}`
	const one = `"shape":[1,3],"data":[0,2,1]},{"name":"embedding","datatype":"FP32","shape":[1,2],"data":[1,48]}`
	head := in("[1,3,2,2]", `"parameters":{"binary_data_size":48}`)
	for name, test := range map[string]struct {
		body   string
		header int
		status int
		want   string
	}{
		"flat":       {in("[1,3,2,2]", `"data":[1,`+zeros[:len(zeros)-1]+`]`), 0, 200, one},
		"nested":     {in("[2,3,1,1]", `"data":[`+nested+`, [[[ 0 ]],[[0]],[[0]]]]`), 0, 200, two},
		"binary":     {head + string(littleEndian(append([]float32{1}, make([]float32, 11)...))), len(head), 200, one},
		"fewer":      {in("[1,3,2,2]", `"data":[1,2,3,4,5,6,7,8]`), 0, 400, "fewer values than its shape, 12"},
		"one fewer":  {in("[1,3,2,2]", `"data":[1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5]`), 0, 400, "has 44 bytes"},
		"more":       {in("[1,3,1,1]", `"data":[1,2,3,4]`), 0, 400, "more values than its shape, 3"},
		"deep":       {in("[1,3,1,1]", `"data":[[[[[1]]]],2,3]`), 0, 400, "not a request"},
		"text":       {in("[1,3,1,1]", `"data":[1,2,"3"]`), 0, 400, "not a request"},
		"too large":  {in("[1,3,1,1]", `"data":[1,2,1e39]`), 0, 400, "not a request"},
		"none":       {in("[1,3,1,1]", `"data":null`), 0, 400, "fewer values"},
		"many":       {in("[65,3,1,1]", `"data":[1]`), 0, 413, "at most 64"},
		"promises":   {in("[64,3,1024,1024]", `"data":[1]`), 0, 400, "fewer values"},
		"wrong size": {head, len(head), 400, "binary_data_size is 48"},
	} {
		code, got := post(test.body, test.header)
		if code != test.status || !strings.Contains(got, test.want) {
			t.Errorf("%s: %d %s; want %d %s", name, code, got, test.status, test.want)
		}
	}
}
