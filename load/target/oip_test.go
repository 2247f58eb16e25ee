package target

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestImageShape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ shape, want []int }{
		{[]int{-1, 3, 224, 224}, []int{1, 3, 224, 224}},
		{[]int{1, 3, -1, -1}, []int{1, 3, 224, 224}},
		{[]int{-1, 224, 224, 3}, []int{1, 224, 224, 3}},
		{[]int{3, 224, 224}, []int{3, 224, 224}},
		{[]int{-1, -1, 3}, []int{224, 224, 3}},
		{[]int{-1, -1, -1, -1}, nil}, // the place of the channels is not known
		{[]int{2, 3, 224, 224}, nil},
		{[]int{1, 3, 224, 448}, nil},
		{[]int{1, 3, 448, 224}, nil},
		{[]int{448, 224, 3}, nil},
		{[]int{1, 1, 224, 224}, nil},
		{[]int{1000}, nil},
		{nil, nil},
	} {
		if got, ok := imageShape(c.shape); !slices.Equal(got, c.want) || ok != (c.want != nil) {
			t.Errorf("imageShape(%v) = %v, %v; want %v", c.shape, got, ok, c.want)
		}
	}
}

// TestEncode: the same values in JSON, and in binary after JSON of a fixed length.
func TestEncode(t *testing.T) {
	t.Parallel()
	tensor, values := Tensor{"data", []int{1, 3, 224, 224}}, []float32{0.5, -1.25, 3e-8}
	body, err := OIP{}.Encode(tensor, values)
	if want := `{"inputs":[{"name":"data","shape":[1,3,224,224],"datatype":"FP32","data":[0.5,-1.25,3e-08]}]}`; err != nil || string(body) != want {
		t.Errorf("JSON: %s, %v; want %s", body, err, want)
	}
	body, err = OIP{Binary: true}.Encode(tensor, values)
	if err != nil || len(body) != binaryHeader+4*len(values) || !json.Valid(body[:binaryHeader]) || !strings.Contains(string(body[:binaryHeader]), `"binary_data_size":12`) {
		t.Fatalf("binary: %q, %v", body, err)
	}
	for i, want := range values {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(body[binaryHeader+4*i:])); got != want {
			t.Errorf("value %d is %v, want %v", i, got, want)
		}
	}
	const rest = `{"inputs":[{"name":"","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":0}}]}`
	longest := Tensor{strings.Repeat("n", binaryHeader-len(rest)), []int{1}}
	if body, err := (OIP{Binary: true}).Encode(longest, nil); err != nil || len(body) != binaryHeader {
		t.Errorf("the longest name: %d bytes, %v", len(body), err)
	}
	longest.Name += "n"
	if _, err := (OIP{Binary: true}).Encode(longest, nil); err == nil {
		t.Error("a longer name: no error")
	}
}

func TestOIPLabel(t *testing.T) {
	t.Parallel()
	scores := "0.5" + strings.Repeat(",0", 997) + ",2,1"
	o := OIP{Labels: func(class int) string { return string(rune('a' + class - 990)) }}
	for answer, want := range map[string]string{
		`{"outputs":[{"datatype":"FP32","data":[` + scores + `]}]}`:          "i", // class 998
		`{"outputs":[{"datatype":"FP32","data":[[` + scores + `]]}]}`:        "i",
		`{"outputs":[{"datatype":"BYTES","data":["0.5:3:bulbul","0:1:x"]}]}`: "bulbul",
		`{"outputs":[{"datatype":"BYTES","data":["bulbul"]}]}`:               "bulbul",
		`{"outputs":[{"datatype":"BYTES","data":[]}]}`:                       "",
		`{"outputs":[{"datatype":"FP32","data":[1,2]}]}`:                     "",
		`{"outputs":[]}`: "",
		`<html>`:         "",
	} {
		if got, err := o.label([]byte(answer)); got != want || (err == nil) != (want != "") {
			t.Errorf("%.60s: %q, %v; want %q", answer, got, err, want)
		}
	}
}

// FuzzOIPLabel: servers may answer anything.
func FuzzOIPLabel(f *testing.F) {
	scores := "0.5" + strings.Repeat(",0", 999)
	for _, data := range []string{"[" + scores + "]", "[[" + scores + "]]", `["0.5:3:bulbul"]`, "[[[]]]", "null"} {
		f.Add([]byte(`{"outputs":[{"datatype":"FP32","data":` + data + `}]}`))
		f.Add([]byte(`{"outputs":[{"datatype":"BYTES","data":` + data + `}]}`))
	}
	o := OIP{Labels: func(class int) string {
		if class < 0 || class > 999 {
			panic(class)
		}
		return "label"
	}}
	f.Fuzz(func(_ *testing.T, answer []byte) { _, _ = o.label(answer) })
}
