package novelty_test

import (
	"math"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/novelty"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// at is features in the plane of the first two, at an angle in degrees.
func at(degrees, length float64) []float32 {
	x := make([]float32, spec.Features)
	x[0], x[1] = float32(length*math.Cos(degrees*math.Pi/180)), float32(length*math.Sin(degrees*math.Pi/180))
	return x
}

// known is rows at angles, of different lengths.
func known(t *testing.T, neighbors int, degrees ...float64) *novelty.Known {
	t.Helper()
	rows := tensor.New(len(degrees), spec.Features)
	for i, d := range degrees {
		copy(rows.Data[i*spec.Features:], at(d, float64(i+1)))
	}
	k, err := novelty.New(rows, neighbors)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// apart is the cosine distance of angles.
func apart(degrees float64) float64 { return 1 - math.Cos(degrees*math.Pi/180) }

func TestDistance(t *testing.T) {
	t.Parallel()
	k := known(t, 2, 90, 0, 10, 180)
	for _, test := range []struct {
		features []float32
		want     float64
	}{
		{at(0, 5), (apart(0) + apart(10)) / 2},
		{at(5, 0.1), apart(5)},
		{at(60, 1), (apart(30) + apart(50)) / 2},
		{at(180, 1), (apart(0) + apart(90)) / 2},
		{at(270, 1), (apart(90) + apart(90)) / 2},
		{make([]float32, spec.Features), 1},
	} {
		if got := k.Distance(test.features); math.Abs(float64(got)-test.want) > 1e-6 {
			t.Errorf("Distance(%v...) = %v, want %v", test.features[:2], got, test.want)
		}
	}
	if got := known(t, 5, 0, 60).Distance(at(0, 1)); math.Abs(float64(got)-apart(60)/2) > 1e-6 {
		t.Errorf("with fewer rows than neighbors: %v, want %v", got, apart(60)/2)
	}
}

func TestOthers(t *testing.T) {
	t.Parallel()
	got := known(t, 1, 0, 10, 40).Others()
	for i, want := range []float64{apart(10), apart(10), apart(30)} {
		if math.Abs(float64(got[i])-want) > 1e-6 {
			t.Errorf("distance %d = %v, want %v", i, got[i], want)
		}
	}
	if got := known(t, 3, 0).Others(); len(got) != 1 || got[0] != 0 {
		t.Errorf("a single picture: %v, want [0]", got)
	}
}

func TestThreshold(t *testing.T) {
	t.Parallel()
	hundred := make([]float32, 100)
	for i := range hundred {
		hundred[i] = float32(99 - i)
	}
	for _, test := range []struct {
		distances []float32
		share     float64
		want      float32
	}{
		{hundred, 0.05, 94}, // 95 to 99 are above
		{hundred, 0, 99},
		{hundred[:10], 0.05, 99}, // less than one picture may be above
		{nil, 0.05, 2},
	} {
		if got := novelty.Threshold(test.distances, test.share); got != test.want {
			t.Errorf("Threshold of %d at %v = %v, want %v", len(test.distances), test.share, got, test.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	full := func(n, columns int, x float64) tensor.Tensor {
		rows := tensor.New(n, columns)
		for i := range rows.Data {
			rows.Data[i] = float32(x)
		}
		return rows
	}
	for name, test := range map[string]struct {
		rows      tensor.Tensor
		neighbors int
		problem   string
	}{
		"no tensor":    {tensor.Tensor{}, 5, "have shape []"},
		"no rows":      {full(0, spec.Features, 1), 5, "have shape [0 512]"},
		"few columns":  {full(3, 511, 1), 5, "have shape [3 511]"},
		"too many":     {full(spec.MaxKnown+1, spec.Features, 1), 5, "have shape [5001 512]"},
		"no neighbors": {full(3, spec.Features, 1), 0, "0 neighbors"},
		"zeros":        {full(3, spec.Features, 0), 5, "picture 0"},
		"NaN":          {full(3, spec.Features, math.NaN()), 5, "picture 0"},
		"infinite":     {full(3, spec.Features, math.Inf(1)), 5, "picture 0"},
	} {
		if _, err := novelty.New(test.rows, test.neighbors); err == nil || !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.problem)
		}
	}
}

func BenchmarkDistance(b *testing.B) {
	rows := tensor.New(spec.MaxKnown, spec.Features)
	for i := range rows.Data {
		rows.Data[i] = float32(i%7) - 2
	}
	k, err := novelty.New(rows, 5)
	if err != nil {
		b.Fatal(err)
	}
	x := at(45, 1)
	b.ReportAllocs()
	for b.Loop() {
		k.Distance(x)
	}
}
