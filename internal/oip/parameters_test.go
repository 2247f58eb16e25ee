package oip_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/resnet18cloud/resnet18cloud/internal/oip/oippb"
)

// TestParameters checks that requests as Triton's and KServe's clients send them are answered, and that fields and parameters that
// mean nothing are refused with where they belong.
func TestParameters(t *testing.T) {
	t.Parallel()
	url := serve(t, nil)
	const input = `"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["YQ=="]}]`
	for name, test := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"Triton":            {`{"parameters":{"sequence_id":3,"sequence_start":true,"sequence_end":false,"priority":1,"timeout":9000000},` + input + `}`, 200, `"scores"`},
		"KServe":            {`{"id":"1","model_name":"m","inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["YQ=="],"parameters":{"content_type":"base64"}}],"parameters":{"binary_data_output":false}}`, 200, `"scores"`},
		"null":              {`{"parameters":null,"outputs":[{"name":"scores","parameters":null}],` + input + `}`, 200, `"scores"`},
		"endless timeout":   {`{"parameters":{"timeout":9223372036854775807},` + input + `}`, 200, `"scores"`},
		"short timeout":     {`{"parameters":{"timeout":20000},"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["c2xvdw=="]}]}`, 504, "within 20ms"},
		"negative timeout":  {`{"parameters":{"timeout":-1},` + input + `}`, 400, "microseconds"},
		"timeout in text":   {`{"parameters":{"timeout":"1s"},` + input + `}`, 400, `\"timeout\" of the request is malformed`},
		"field":             {`{"classification":3,` + input + `}`, 400, `no field \"classification\" of the request","hint":"it belongs to an output: {\"outputs\"`},
		"field of output":   {`{"outputs":[{"name":"scores","classification":3}],` + input + `}`, 400, `no field \"classification\" of an output`},
		"of the request":    {`{"parameters":{"classification":3},` + input + `}`, 400, `it belongs to an output`},
		"of an input":       {`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["YQ=="],"parameters":{"timeout":1}}]}`, 400, `it belongs to the request`},
		"of an output":      {`{"outputs":[{"name":"scores","parameters":{"binary_data_size":1}}],` + input + `}`, 400, `it belongs to an input`},
		"misspelt":          {`{"outputs":[{"name":"scores","parameters":{"classify":3}}],` + input + `}`, 400, `the parameters of an output are binary_data, classification, content_type`},
		"unknown field":     {`{"model":"n",` + input + `}`, 400, `the fields of the request are id, model_name, model_version, parameters, inputs, outputs`},
		"escaped":           {`{"parameters":{"cl\u0061ssification":3},` + input + `}`, 400, `it belongs to an output`},
		"shared memory":     {`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"shared_memory_region":"a"}}]}`, 400, "no shared memory"},
		"parameters, array": {`{"parameters":[],` + input + `}`, 400, "not a request"},
	} {
		response, err := http.Post(url+"/v2/models/m/infer", "application/json", strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != test.status || !strings.Contains(string(text), test.want) {
			t.Errorf("%s: %d %s, %v; want %d with %s", name, response.StatusCode, text, err, test.status, test.want)
		}
	}
	for body, want := range map[string]string{
		`{"signature_name":"serving_default","instances":[{"image_bytes":{"b64":"YQ=="},"key":"   1"},{"b64":"YQ=="}]}`: `"predictions":[`,
		`{"instances":[{"b64":"YQ=="}],"parameters":{"top_k":3}}`:                                                       `no field \"parameters\" of the request`,
		`{"instances":[{"b64":"YQ==","top_k":3}]}`:                                                                      `no field \"top_k\" of an instance`,
		`{"instances":[{"image_bytes":{"b64":"YQ==","name":"a"}}]}`:                                                     `no field \"name\" of an instance`,
	} {
		response, err := http.Post(url+"/v1/models/m:predict", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %d %s, %v; want %s", body, response.StatusCode, text, err, want)
		}
	}
}

// TestParametersOfGRPC is TestParameters for gRPC.
func TestParametersOfGRPC(t *testing.T) {
	t.Parallel()
	c, ctx := client(t, serve(t, nil)), t.Context()
	number := func(n int64) *oippb.InferParameter {
		return &oippb.InferParameter{ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: n}}
	}
	yes := &oippb.InferParameter{ParameterChoice: &oippb.InferParameter_BoolParam{BoolParam: true}}
	type parameters = map[string]*oippb.InferParameter
	for name, test := range map[string]struct {
		picture                string
		request, input, output parameters
		code                   codes.Code
		want                   string
	}{
		"Triton": {"a", parameters{"sequence_id": {ParameterChoice: &oippb.InferParameter_StringParam{StringParam: "s"}}, "sequence_start": yes, "sequence_end": yes,
			"priority": number(1), "timeout": number(9_000_000)}, nil, parameters{"classification": number(1)}, codes.OK, ""},
		"KServe":           {"a", parameters{"binary_data_output": yes}, parameters{"binary_data_size": number(5)}, parameters{"binary_data": yes}, codes.OK, ""},
		"short timeout":    {"slow", parameters{"timeout": number(20_000)}, nil, nil, codes.DeadlineExceeded, "within 20ms"},
		"negative timeout": {"a", parameters{"timeout": number(-1)}, nil, nil, codes.InvalidArgument, "microseconds"},
		"of the request":   {"a", parameters{"classification": number(1)}, nil, nil, codes.InvalidArgument, "it belongs to an output"},
		"of an input":      {"a", nil, parameters{"classification": number(1)}, nil, codes.InvalidArgument, "it belongs to an output"},
		"of an output":     {"a", nil, nil, parameters{"top_k": number(1)}, codes.InvalidArgument, `no parameter "top_k" of an output`},
		"shared memory":    {"a", nil, nil, parameters{"shared_memory_region": number(1)}, codes.InvalidArgument, "no shared memory"},
	} {
		q := with(pictures(test.picture), 0, "scores")
		q.Parameters, q.Inputs[0].Parameters, q.Outputs[0].Parameters = test.request, test.input, test.output
		_, err := c.ModelInfer(ctx, q)
		if status.Code(err) != test.code || !strings.Contains(status.Convert(err).Message(), test.want) {
			t.Errorf("%s: %v, want %v with %q", name, err, test.code, test.want)
		}
	}
}
