package forward

import (
	"net/url"
	"reflect"
	"testing"
)

// TestAnswering holds that cached answers are looked up for the models that answer now, and that a warning of any
// endpoint is passed on.
func TestAnswering(t *testing.T) {
	t.Parallel()
	a, b := Endpoint{Healthy: true, Model: "w", Precision: "fp32"}, Endpoint{Healthy: true, Model: "w", Precision: "int8"}
	away := Endpoint{Model: "old", Warning: "random"}
	late := Endpoint{Healthy: true, Model: "w", Precision: "fp32", Warning: "late"}
	for name, test := range map[string]struct {
		endpoints []Endpoint
		want      Answering
	}{
		"none":             {nil, Answering{}},
		"equal ones":       {[]Endpoint{a, a}, Answering{Models: []Model{{"w", "fp32"}}}},
		"rolling update":   {[]Endpoint{a, b, a}, Answering{Models: []Model{{"w", "fp32"}, {"w", "int8"}}}},
		"unhealthy":        {[]Endpoint{away, b}, Answering{Models: []Model{{"w", "int8"}}, Warning: "random"}},
		"first warning":    {[]Endpoint{a, away, late}, Answering{Models: []Model{{"w", "fp32"}}, Warning: "random"}},
		"the last to warn": {[]Endpoint{a, late}, Answering{Models: []Model{{"w", "fp32"}}, Warning: "late"}},
	} {
		if got := answering(test.endpoints); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestAddressInPlaceOfName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, addr, want string }{
		{"http://name:5000", "10.0.0.7", "http://10.0.0.7:5000"},
		{"http://name:5000", "fd00::7", "http://[fd00::7]:5000"},
		{"https://name", "10.0.0.7", "https://10.0.0.7"},
		{"https://name", "fd00::7", "https://[fd00::7]"},
		{"http://name:5000/path", "10.0.0.7", "http://10.0.0.7:5000/path"},
	} {
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := at(*u, test.addr); got != test.want {
			t.Errorf("at(%s, %s) = %s, want %s", test.url, test.addr, got, test.want)
		}
	}
}
