package weights

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// expectation is a line of own/expectations.jsonl: a file as people have it, and what becomes of it.
type expectation struct {
	Kind    string
	File    string
	Load    string // ok, embedding, refuse or either
	Reason  string
	Classes int
	Head    string
	expectedDescription
}

// refusals are parts of the errors of files whose expectation says it in other words.
var refusals = map[string]string{
	"detectron2.pkl.gz":            "a Detectron2 pickle",
	"refuse-cifar-stem.pth.gz":     "a CIFAR stem",
	"refuse-kuangliu.pth.gz":       "a CIFAR stem",
	"refuse-resnet34.pth.gz":       "this is ResNet-34",
	"refuse-resnet50.pth.gz":       "this is ResNet-50",
	"refuse-keras.h5":              "Keras",
	"refuse-openvino.xml":          "OpenVINO model (IR",
	"refuse-densenet121.pth.gz":    "densenet121",
	"refuse-html.pth":              "HTML page",
	"refuse-evil.pth.gz":           "posix.system",
	"refuse-nan.pth.gz":            "", // loads: whoever uses the weights looks at the numbers
	"refuse-missing.pth.gz":        "layer3.1.bn2.running_var is missing",
	"refuse-optimizer-only.pth.gz": "holds no model, only the state of an optimizer",
	"gray.pth.gz":                  "expects 1 channel",
}

// heads are the heads of expectations that have more than one layer.
var heads = map[string]spec.Head{
	"fastai concat-pool BN Linear ReLU BN Linear": {Pool: spec.MaxAverage, ReLU: []bool{true, false}},
	"mlp":   {Pool: spec.Average, ReLU: []bool{true, false}},
	"named": {Pool: spec.Average, ReLU: []bool{true, false}},
}

// TestOwnModels loads every kind of file that people have, and checks what is found in it.
func TestOwnModels(t *testing.T) {
	t.Parallel()
	for _, want := range testutil.Lines[expectation](t, testutil.Shared(t, "own", "expectations.jsonl")) {
		t.Run(want.File, func(t *testing.T) {
			t.Parallel()
			checkOwn(t, want)
		})
	}
}

func checkOwn(t *testing.T, want expectation) {
	set, err := Load(testutil.Shared(t, append([]string{"own", "checkpoints"}, strings.Split(want.File, "/")...)...))
	part, special := refusals[want.File]
	if !special {
		part = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(want.Reason, "is a "), "is "), ", not a ResNet-18")
		part = strings.TrimRight(part, "_0123456789x")
	}
	switch {
	case want.Load == "refuse" && part == "":
		if err != nil {
			t.Fatal(err)
		}
		want.Load, want.Classes = "ok", 6
	case want.Load == "refuse", want.Load == "either" && err != nil:
		if err == nil || want.Load == "refuse" && !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(part)) {
			t.Fatalf("error %v, want one with %q", err, part)
		}
		t.Logf("%v", err)
		return
	case err != nil:
		t.Fatal(err)
	}
	defer func() {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	}()
	t.Logf("head %v, notes %q", set.Spec.Head, set.Notes)
	h := set.Spec.Head
	switch {
	case want.Load == "either":
		return
	case want.Load == "embedding":
		if len(h.ReLU) != 0 || h.Classes != 0 {
			t.Errorf("head %v, want none", h)
		}
		return
	}
	wantHead, ok := heads[want.Head]
	if !ok {
		wantHead = spec.Head{Pool: spec.Average, ReLU: []bool{false}}
	}
	if h.Pool != wantHead.Pool || !slices.Equal(h.ReLU, wantHead.ReLU) || h.Classes != want.Classes {
		t.Errorf("head %v, want %v and %d classes", h, wantHead, want.Classes)
	}
	checkDescription(t, set, want.expectedDescription)
	if w := set.Tensors["layer4.0.downsample.0.weight"]; w.Check(512, 256, 1, 1) != nil {
		t.Errorf("layer4.0.downsample.0.weight has shape %v", w.Shape)
	}
	if len(set.Tensors) < 42 || len(set.Tensors) > 20*5+2*len(h.ReLU) {
		t.Errorf("%d tensors", len(set.Tensors))
	}
}

// TestFind checks which file of a folder is taken.
func TestFind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ files, want, wrong string }{
		{"config.json model.safetensors pytorch_model.bin model.onnx", "model.safetensors", ""},
		{"config.json pytorch_model.bin.gz other.pth", "pytorch_model.bin.gz", ""},
		{"model.onnx model.onnx.data", "model.onnx", ""},
		{"best.safetensors model.pth", "best.safetensors", ""},
		{"best.pth.tar readme.txt last.ckpt", "best.pth.tar", ""},
		{"last.ckpt args.yaml", "last.ckpt", ""},
		{"resnet.onnx", "resnet.onnx", ""},
		{"a.pth b.pt", "", "several weight files, give one of them: a.pth, b.pt"},
		{"", "", "has no files"},
		{"readme.txt", "", "but: readme.txt"},
		{"1 2 3 4 5 6 7 8 9 10", "", "and 2 more"},
		{"model-00001-of-00002.bin pytorch_model.bin.index.json", "", "in several files"},
		{"saved_model.pb", "", "SavedModel"},
		{"tf_model.h5 config.json", "", "TensorFlow or Flax only"},
	} {
		dir := t.TempDir()
		for name := range strings.FieldsSeq(test.files) {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(dir, "folder.pth"), 0o700); err != nil { // is none
			t.Fatal(err)
		}
		got, err := Find(dir)
		if test.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("Find(%s): error %v, want %q", test.files, err, test.wrong)
			}
			continue
		}
		if err != nil || got != filepath.Join(dir, test.want) {
			t.Errorf("Find(%s) = %s, error %v, want %s", test.files, got, err, test.want)
		}
	}
}

// TestFolderNamesTheModel checks that a folder of the hub gives its name, since its file has none.
func TestFolderNamesTheModel(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"hf-resnet-18": "hf-resnet-18", "hf-resnet-18/model.safetensors.gz": "model"} {
		if set := load(t, testutil.Shared(t, "own", "checkpoints", path)); set.Name() != want {
			t.Errorf("%s has the name %q, want %q", path, set.Name(), want)
		}
	}
}

// TestHeadOf checks the heads of quantized weights, whose tensors have our names.
func TestHeadOf(t *testing.T) {
	t.Parallel()
	none := spec.Head{Pool: spec.Average, Activation: spec.None}
	for name, test := range map[string]struct {
		shapes map[string][]int
		want   spec.Head
	}{
		"no layers":  {nil, none},
		"one":        {map[string][]int{"fc.weight": {6, 512}}, spec.Linear(6)},
		"one output": {map[string][]int{"fc.weight": {1, 512}}, spec.Head{Pool: spec.Average, ReLU: []bool{false}, Classes: 1, Activation: spec.None}},
		"two": {map[string][]int{"fc.0.weight": {64, 1024}, "fc.1.weight": {6, 64}},
			spec.Head{Pool: spec.MaxAverage, ReLU: []bool{true, false}, Classes: 6, Activation: spec.Softmax}},
		"broken": {map[string][]int{"fc.0.weight": {64, 512}, "fc.1.weight": {6}}, none},
	} {
		tensors := map[string]tensor.Tensor{}
		for name, shape := range test.shapes {
			tensors[name] = tensor.New(shape...)
		}
		if got := headOf(tensors); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// TestOwnFormatIsNotGuessed checks that a file written here is read as it is: of one with 1024 inputs, recognizing would take
// timm's order.
func TestOwnFormatIsNotGuessed(t *testing.T) {
	t.Parallel()
	head := spec.Head{Pool: spec.MaxAverage, ReLU: []bool{false}, Classes: 2, Activation: spec.Sigmoid}
	text, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	fc := tensor.New(2, 1024)
	for i := range fc.Data {
		fc.Data[i] = float32(i)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, &safetensors.Content{Tensors: map[string]tensor.Tensor{"fc.weight": fc}, Metadata: map[string]string{describe.MetaHead: string(text)}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "own.safetensors")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	set := load(t, path)
	if got := set.Tensors["fc.weight"].Data; !slices.Equal(got, fc.Data) || !reflect.DeepEqual(set.Spec.Head, head) || len(set.Notes) > 0 {
		t.Errorf("head %+v, notes %q, fc.weight %v..., want them as written", set.Spec.Head, set.Notes, got[:3])
	}
}
