package forward

import (
	"reflect"
	"testing"
)

// TestAnswering checks that cached results are looked up for the models in use, and that a warning of any endpoint is
// passed on.
func TestAnswering(t *testing.T) {
	t.Parallel()
	a, b := Endpoint{Healthy: true, Model: "w", Precision: "fp32"}, Endpoint{Healthy: true, Model: "w", Precision: "int8"}
	fp32, int8 := Model{Weights: "w", Precision: "fp32"}, Model{Weights: "w", Precision: "int8"}
	away := Endpoint{Model: "old", Warning: "random"}
	late := Endpoint{Healthy: true, Model: "w", Precision: "fp32", Warning: "late"}
	for name, test := range map[string]struct {
		endpoints []Endpoint
		want      Answering
	}{
		"none":                    {nil, Answering{}},
		"equal ones":              {[]Endpoint{a, a}, Answering{Healthy: true, Models: []Model{fp32}}},
		"rolling update":          {[]Endpoint{a, b, a}, Answering{Healthy: true, Models: []Model{fp32, int8}}},
		"unhealthy":               {[]Endpoint{away, b}, Answering{Healthy: true, Models: []Model{int8}, Warning: "random"}},
		"first warning":           {[]Endpoint{a, away, late}, Answering{Healthy: true, Models: []Model{fp32}, Warning: "random"}},
		"only the last one warns": {[]Endpoint{a, late}, Answering{Healthy: true, Models: []Model{fp32}, Warning: "late"}},
	} {
		if got := answering(test.endpoints); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
