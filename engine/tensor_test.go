package engine

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// tensorBytes writes values as resnet18cloud.Want.Tensor says.
func tensorBytes(values []float32) (b []byte) {
	for _, x := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// TestReadTensor checks that all 256 values of each color come back from float32, with the mean and deviation of several
// libraries, and that what is no prepared input is refused.
func TestReadTensor(t *testing.T) {
	t.Parallel()
	for _, p := range []spec.Preprocess{
		spec.Torchvision(),
		{Crop: 32, Mean: [3]float64{0.5, 0.5, 0.5}, Deviation: [3]float64{0.5, 0.5, 0.5}},
		{Crop: 32, Deviation: [3]float64{1. / 255, 1. / 255, 1. / 255}}, // pixels of 0 to 255
	} {
		want := make(preprocess.Input, 3*p.Crop*p.Crop)
		for i := range want {
			want[i] = uint8(i/3 + i%3*85)
		}
		good := preprocess.Normalize(want, p, false)
		var got preprocess.Input
		if err := readTensor(&got, tensorBytes(good), p); err != nil || !slices.Equal(got, want) {
			t.Errorf("mean %v: %v, or other pixels", p.Mean, err)
		}
		wrong := func(change func(values []float32) []float32) error {
			return readTensor(new(preprocess.Input), tensorBytes(change(slices.Clone(good))), p)
		}
		for problem, err := range map[string]error{
			"bytes":          wrong(func(v []float32) []float32 { return v[1:] }),
			"not normalized": wrong(func(v []float32) []float32 { v[len(v)-1] = 600; return v }),
			"NaN":            wrong(func(v []float32) []float32 { v[7] = float32(math.NaN()); return v }),
			"-Inf":           wrong(func(v []float32) []float32 { v[0] = float32(math.Inf(-1)); return v }),
		} {
			e := resnet18cloud.AsError(err)
			if e == nil || e.Code != resnet18cloud.CodeUndecodable || !strings.Contains(e.Message, problem) || !strings.Contains(e.Hint, p.String()) {
				t.Errorf("%s: %v", problem, err)
			}
		}
	}
}

// TestTensorIsAPicture checks that a tensor has the result of the picture that it was made of.
func TestTensorIsAPicture(t *testing.T) {
	t.Parallel()
	e := open(t, Config{Concurrency: 2})
	picture := patches(t, 3)
	var in preprocess.Input
	if err := (&preprocess.Cropper{Spec: e.Spec().Preprocess}).Crop(&in, picture.Bytes); err != nil {
		t.Fatal(err)
	}
	tensor := resnet18cloud.Image{Name: "t", Bytes: tensorBytes(preprocess.Normalize(in, e.Spec().Preprocess, false)), Want: resnet18cloud.Want{Tensor: true}}
	if e.Large(tensor) {
		t.Error("a tensor is decoded as a large picture")
	}
	want, err1 := e.Classify(t.Context(), picture)
	got, err2 := e.Classify(t.Context(), tensor)
	if err1 != nil || err2 != nil || !slices.Equal(got.Predictions, want.Predictions) || got.Scores[0].Logit != want.Scores[0].Logit {
		t.Errorf("%v, %v; %v, want %v", err1, err2, got.Scores, want.Scores)
	}
	for range 3 { // more often than there are workers
		tensor.Bytes = picture.Bytes
		if _, err := e.Classify(t.Context(), tensor); resnet18cloud.AsError(err) == nil || resnet18cloud.AsError(err).Code != resnet18cloud.CodeUndecodable {
			t.Errorf("a picture as a tensor: %v", err)
		}
	}
}
