package weights

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/pth"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/recognize"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func load(tb testing.TB, path string) *Set {
	tb.Helper()
	s, err := Load(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// TestRealFilesAgree checks that one network saved in four formats loads as one.
func TestRealFilesAgree(t *testing.T) {
	t.Parallel()
	want := load(t, testutil.Shared(t, "models", "resnet18-ktb.pth"))
	if want.Format != FormatPyTorch || want.Name() != "resnet18-ktb" || want.Identity() != "resnet18-ktb@d9a754b4" {
		t.Errorf("format %q, name %q, identity %q", want.Format, want.Name(), want.Identity())
	}
	// 11,689,512 parameters (torchvision's count) and 20 batch norms' running means and variances.
	if got := want.Parameters(); got != 11689512+2*4800 {
		t.Errorf("%d parameters, want %d", got, 11689512+2*4800)
	}
	for file, format := range map[string]string{
		"resnet18-ktb-legacy.pth.gz":  FormatPyTorchLegacy,
		"resnet18-ktb.safetensors.gz": FormatSafetensors,
	} {
		got := load(t, testutil.Shared(t, "models", file))
		if got.Format != format {
			t.Errorf("%s has format %q, want %q", file, got.Format, format)
		}
		if g, w := slices.Sorted(maps.Keys(got.Tensors)), slices.Sorted(maps.Keys(want.Tensors)); !slices.Equal(g, w) {
			t.Errorf("%s has tensors %v, want %v", file, g, w)
		}
		for name, w := range want.Tensors {
			g := got.Tensors[name]
			if !slices.Equal(g.Shape, w.Shape) || !slices.Equal(g.Data, w.Data) {
				t.Errorf("%s: %s differs from that of the zip checkpoint", file, name)
			}
		}
	}
	got := load(t, testutil.Shared(t, "models", "resnet18-ktb.onnx.gz"))
	if got.Format != FormatONNX {
		t.Errorf("ONNX file has format %q", got.Format)
	}
	compareFolded(t, got.Tensors, want.Tensors)
}

// compareFolded compares an export, whose batch norms are folded in, with the weights it was made from.
func compareFolded(t *testing.T, got, want map[string]tensor.Tensor) {
	t.Helper()
	convs := 0
	for name, w := range want {
		conv, isConv := strings.CutSuffix(name, ".weight")
		if !isConv || len(w.Shape) != 4 {
			continue
		}
		convs++
		bn := strings.Replace(conv, "conv", "bn", 1)
		if at, ok := strings.CutSuffix(conv, "downsample.0"); ok {
			bn = at + "downsample.1"
		}
		norm := func(part string, o int) float64 { return float64(want[bn+"."+part].Data[o]) }
		g := got[conv+".weight"]
		if err := g.Check(w.Shape...); err != nil {
			t.Errorf("%s.weight %v", conv, err)
			continue
		}
		per := len(w.Data) / w.Shape[0]
		for o := range w.Shape[0] {
			scale := norm("weight", o) / math.Sqrt(norm("running_var", o)+1e-5)
			bias := norm("bias", o) - norm("running_mean", o)*scale
			if b := float64(got[conv+".bias"].Data[o]); math.Abs(b-bias) > 1e-6*(1+math.Abs(bias)) {
				t.Fatalf("%s.bias[%d] = %v, want %v", conv, o, b, bias)
			}
			for i := o * per; i < (o+1)*per; i++ {
				if x := float64(w.Data[i]) * scale; math.Abs(float64(g.Data[i])-x) > 1e-6*(1+math.Abs(x)) {
					t.Fatalf("%s.weight[%d] = %v, want %v", conv, i, g.Data[i], x)
				}
			}
		}
	}
	if convs != 20 || len(got) != 42 {
		t.Errorf("%d convolutions compared, want 20; export has %d tensors, want 42", convs, len(got))
	}
}

// TestRealFilesDamaged cuts and bends a real file: every outcome must be an error.
func TestRealFilesDamaged(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"resnet18-ktb.pth", "resnet18-ktb-legacy.pth.gz", "resnet18-ktb.safetensors.gz", "resnet18-ktb.onnx.gz"} {
		path := testutil.Shared(t, "models", file)
		m, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		plain := m.data
		for _, n := range []int{1, 7, 100, 5000, len(plain) / 2, len(plain) - 1} {
			if _, err := parse(plain[:n], file, nil); err == nil {
				t.Errorf("%s cut to %d of %d bytes gave no error", file, n, len(plain))
			}
		}
		if err := m.close(); err != nil {
			t.Error(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(whole, gzipMagic) {
			if _, err := gunzip(bytes.NewReader(whole[:len(whole)-5]), MaxBytes); err == nil || !strings.Contains(err.Error(), "truncated") {
				t.Errorf("%s cut: error %v, want one that says truncated", file, err)
			}
		}
	}
}

func TestQuantizedONNXIsRefused(t *testing.T) {
	t.Parallel()
	_, err := Load(testutil.Shared(t, "models", "resnet18-ktb-int8-qdq.onnx"))
	if err == nil || !strings.Contains(err.Error(), "quantized") {
		t.Errorf("Load: error %v, want one that says the model is quantized", err)
	}
}

// sampleFile writes a small safetensors file, gzipped or not.
func sampleFile(t *testing.T, name string, zipped bool) string {
	t.Helper()
	var b bytes.Buffer
	err := safetensors.Write(&b, &safetensors.Content{
		Tensors:  map[string]tensor.Tensor{"a": {Shape: []int{2}, Data: []float32{1, 2}}},
		Int8:     map[string]tensor.Of[int8]{"b": {Shape: []int{1}, Data: []int8{-3}}},
		Metadata: map[string]string{MetaWeights: "sample"},
	})
	if err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	if zipped {
		data = gzipped(t, data)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadSafetensors(t *testing.T) {
	t.Parallel()
	for _, zipped := range []bool{false, true} {
		s := load(t, sampleFile(t, "x", zipped))
		if got := s.Tensors["a"].Data; !slices.Equal(got, []float32{1, 2}) {
			t.Errorf("gzip %t: a = %v, want [1 2]", zipped, got)
		}
		if got := s.Int8["b"].Data; !slices.Equal(got, []int8{-3}) {
			t.Errorf("gzip %t: b = %v, want [-3]", zipped, got)
		}
		if s.Name() != "sample" || s.Parameters() != 3 || s.Format != FormatSafetensors {
			t.Errorf("gzip %t: name %q, %d parameters, format %q", zipped, s.Name(), s.Parameters(), s.Format)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	large := write("large", "")
	if err := os.Truncate(large, MaxBytes+1); err != nil { // sparse: takes no room
		t.Fatal(err)
	}
	for path, wrong := range map[string]string{
		filepath.Join(dir, "missing"): "no such file",
		dir:                           "has no weight file",
		write("empty", ""):            "empty",
		write("text", "hello, world"): "not a weight file",
		write("gzip", "\x1f\x8b"):     "gzip",
		write("web page", "<!DOCTYPE html><html>\n"): "an HTML page",
		large: "at most",
	} {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("Load(%s): error %v, want one with %q", filepath.Base(path), err, wrong)
		}
	}
}

// gzipped packs data.
func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// TestGunzip checks that a file unpacks up to the limit, that a small file cannot ask for more room, and that nothing stays
// in the folder of temporary files.
func TestGunzip(t *testing.T) {
	const limit = 1 << 20
	for _, tt := range []struct {
		name, wrong string
		tmp         func() string
		in          []byte
	}{
		{"to the limit", "", t.TempDir, gzipped(t, make([]byte, limit))},
		{"bomb", "more bytes", t.TempDir, gzipped(t, make([]byte, limit+1))},
		{"truncated", "truncated", t.TempDir, gzipped(t, make([]byte, limit))[:500]},
		{"nothing", "nothing", t.TempDir, gzipped(t, nil)},
		{"no folder", "", func() string { return filepath.Join(t.TempDir(), "missing") }, gzipped(t, make([]byte, limit))},
		{"no folder, bomb", "more bytes", func() string { return filepath.Join(t.TempDir(), "missing") }, gzipped(t, make([]byte, limit+1))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tt.tmp()
			t.Setenv("TMPDIR", dir)
			m, err := gunzip(bytes.NewReader(tt.in), limit)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("gunzip: error %v, want one with %q", err, tt.wrong)
				}
			} else if err != nil || len(m.data) != limit {
				t.Errorf("gunzip: error %v, want %d bytes", err, limit)
			} else if err := m.close(); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%s stays behind", left[0].Name())
			}
		})
	}
}

// BenchmarkLoad reports how long a replica's start spends here.
func BenchmarkLoad(b *testing.B) {
	path := testutil.Shared(b, "models", "resnet18-ktb.pth")
	for b.Loop() {
		s, err := Load(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestReadNormalization checks that a model's own mean and deviation are taken in either unit, and refused in none.
func TestReadNormalization(t *testing.T) {
	t.Parallel()
	lazy := func(values ...float32) *raw.Lazy {
		return &raw.Lazy{Shape: []int{len(values)}, Float: true, Read: func() ([]float32, error) { return values, nil }}
	}
	for name, test := range map[string]struct {
		mean, deviation *raw.Lazy
		want            string // what the error has
	}{
		"units of 1":    {lazy(0.5, 0.4, 0.25), lazy(0.2, 0.25, 0.5), ""},
		"units of 255":  {lazy(127.5, 102, 63.75), lazy(51, 63.75, 127.5), ""},
		"two values":    {lazy(0.5, 0.4), lazy(0.2, 0.25, 0.5), "have 2 values, want 3"},
		"no deviations": {lazy(0.5, 0.4, 0.25), lazy(0, 0, 0), "deviation"},
	} {
		s := &Set{Spec: spec.ImageNet()}
		err := s.readNormalization(recognize.Result{Mean: test.mean, Deviation: test.deviation})
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: error %v, want %q", name, err, test.want)
			}
			continue
		}
		p, want := s.Spec.Preprocess, [2][3]float64{{0.5, 0.4, 0.25}, {0.2, 0.25, 0.5}}
		for i := range 3 {
			if err != nil || math.Abs(p.Mean[i]-want[0][i]) > 1e-6 || math.Abs(p.Deviation[i]-want[1][i]) > 1e-6 || !s.inside {
				t.Errorf("%s: mean %v, deviation %v, error %v; want %v", name, p.Mean, p.Deviation, err, want)
				break
			}
		}
	}
}

// zeroTensors are the tensors of a ResNet-18 of 6 classes, of zeros.
func zeroTensors(t *testing.T) map[string]tensor.Tensor {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("recognize", "testdata", "resnet18.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tensors := map[string]tensor.Tensor{}
	zeros := make([]float32, 512*512*9)
	for line := range strings.Lines(string(text)) {
		column := strings.Fields(line)
		if column[0] == "#" || column[1] == "-" {
			continue
		}
		var shape []int
		if err := json.Unmarshal([]byte("["+column[1]+"]"), &shape); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		tensors[column[0]] = tensor.Tensor{Shape: shape, Data: zeros[:tensor.Size(shape)]}
	}
	return tensors
}

// TestAverageIsNoted checks that people learn which of several weights are used.
func TestAverageIsNoted(t *testing.T) {
	t.Parallel()
	tensors := lazily(zeroTensors(t))
	for name, want := range map[string]int{"state_dict": 0, "model_ema": 1} {
		s := &Set{Spec: spec.ImageNet()}
		other := pth.Candidate{Name: "ema", Tensors: map[string]raw.Lazy{"a": {Shape: []int{1, 1}, Float: true}}}
		if err := s.recognize([]pth.Candidate{other, {Name: name, Tensors: tensors}}); err != nil {
			t.Fatal(err)
		}
		if len(s.Notes) != want || want > 0 && !strings.Contains(s.Notes[0], "moving average of the weights is used (model_ema)") {
			t.Errorf("%s: notes %q", name, s.Notes)
		}
	}
}

// TestKnownFeatures checks that the features of known pictures are kept in a file with nothing else of ours, whose tensors are
// recognized by their names, and that they are no part of the network there.
func TestKnownFeatures(t *testing.T) {
	t.Parallel()
	tensors := zeroTensors(t)
	for _, known := range []bool{false, true} {
		if known {
			tensors[spec.KnownTensor] = tensor.Tensor{Shape: []int{1, 2}, Data: []float32{3, 4}}
		}
		var b bytes.Buffer
		if err := safetensors.Write(&b, &safetensors.Content{Tensors: tensors}); err != nil {
			t.Fatal(err)
		}
		s, err := parse(b.Bytes(), "m.safetensors", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := s.Tensors[spec.KnownTensor]
		if ok != known || known && !slices.Equal(got.Data, []float32{3, 4}) || s.Spec.Head.Classes != 6 {
			t.Errorf("features of known pictures: %v, want them: %t; %d classes", got, known, s.Spec.Head.Classes)
		}
	}
}

// TestRefusesTheMostAlike checks that of several groups of tensors the error is that of the one most like a ResNet-18, in any order.
func TestRefusesTheMostAlike(t *testing.T) {
	t.Parallel()
	group := func(names ...string) pth.Candidate {
		c := pth.Candidate{Tensors: map[string]raw.Lazy{}}
		for _, name := range names {
			c.Tensors[name] = raw.Lazy{Shape: []int{64, 64, 3, 3}, Float: true}
		}
		return c
	}
	var convolutions []string
	for _, block := range []string{"layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer3.1"} {
		convolutions = append(convolutions, block+".conv1.weight", block+".conv2.weight")
	}
	candidates := []pth.Candidate{group("a.weight"), group(convolutions...), group("b.weight")}
	for range candidates {
		err := new(Set).recognize(candidates)
		if refused, ok := errors.AsType[*recognize.Refusal](err); !ok || refused.Likeness != len(convolutions) {
			t.Errorf("error %v, want that of the group with %d convolutions", err, len(convolutions))
		}
		candidates = append(candidates[1:], candidates[0])
	}
}
