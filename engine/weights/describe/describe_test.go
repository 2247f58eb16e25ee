package describe_test

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// changed is torchvision's preprocessing with a change.
func changed(change func(*spec.Preprocess)) spec.Preprocess {
	p := spec.Torchvision()
	change(&p)
	return p
}

// TestAddKeepsProblem checks that what cannot be followed is not replaced by a source that counts less.
func TestAddKeepsProblem(t *testing.T) {
	t.Parallel()
	d := describe.Description{Problem: errors.New("padding"), Sources: describe.Sources{Preprocess: "preprocessor_config.json"}}
	d.Add(describe.Description{Preprocess: ptr(spec.Torchvision()), Sources: describe.Sources{Preprocess: "config.json"}})
	if d.Preprocess != nil || d.Problem == nil || d.Sources.Preprocess != "preprocessor_config.json" {
		t.Errorf("%+v, want the problem", d)
	}
}

// transformers is how ConvNextImageProcessor prepares pictures by default, apart from mean and deviation.
func transformers() spec.Preprocess {
	return changed(func(p *spec.Preprocess) { p.Interpolation, p.Center = spec.Bicubic, spec.Floor })
}

const processorOf = `"image_processor_type": "ConvNextImageProcessor", "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3`

func TestProcessor(t *testing.T) {
	t.Parallel()
	half := [3]float64{0.5, 0.5, 0.5}
	for name, test := range map[string]struct {
		text    string
		want    spec.Preprocess
		problem string
	}{
		"microsoft/resnet-18": {text: `{"crop_pct": 0.875, "do_normalize": true, "do_rescale": true, "do_resize": true, ` + processorOf + `,
			"rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 224}}`, want: transformers()},
		"size of 160 by a number": {text: `{"crop_pct": 0.95, "size": 160, ` + processorOf + `}`,
			want: changed(func(p *spec.Preprocess) {
				p.Interpolation, p.Center, p.Crop, p.Resize = spec.Bicubic, spec.Floor, 160, 168
			})},
		"old name, no crop_pct, bilinear by default": {text: `{"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224}`,
			want: changed(func(p *spec.Preprocess) { p.Center, p.Mean, p.Deviation = spec.Floor, half, half })},
		"ViT": {text: `{"image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, "resample": 2}`,
			want: changed(func(p *spec.Preprocess) {
				p.Mode, p.Resize, p.Center, p.Mean, p.Deviation = spec.Squash, 224, spec.Floor, half, half
			})},
		"ViT's number": {text: `{"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 0}`,
			want: changed(func(p *spec.Preprocess) {
				p.Mode, p.Resize, p.Center, p.Mean, p.Deviation, p.Interpolation = spec.Squash, 224, spec.Floor, half, half, spec.Nearest
			})},
		"CLIP": {text: `{"size": {"shortest_edge": 256}, "do_center_crop": true, "crop_size": {"height": 192, "width": 192}, "image_mean": [0.5], "image_std": [0.5, 0.5, 0.5]}`,
			want: changed(func(p *spec.Preprocess) {
				p.Center, p.Crop, p.Mean, p.Deviation = spec.Floor, 192, half, half
			})},
		"DeiT": {text: `{"feature_extractor_type": "DeiTFeatureExtractor", "size": 256, "do_center_crop": true, "crop_size": 224}`,
			want: changed(func(p *spec.Preprocess) { p.Mode, p.Center, p.Mean, p.Deviation = spec.Squash, spec.Floor, half, half })},
		"not normalized": {text: `{"size": 224, "do_normalize": false}`,
			want: changed(func(p *spec.Preprocess) {
				p.Mode, p.Resize, p.Center, p.Mean, p.Deviation = spec.Squash, 224, spec.Floor, [3]float64{}, [3]float64{1, 1, 1}
			})},
		"scaled to -1..1 and normalized": {text: `{"size": 224, "rescale_factor": 0.00784313725490196, "rescale_offset": true, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}`,
			want: changed(func(p *spec.Preprocess) {
				p.Mode, p.Resize, p.Center, p.Mean, p.Deviation = spec.Squash, 224, spec.Floor, half, half
			})},
		"not scaled": {text: `{"size": 224, "do_rescale": false, "image_mean": [127.5, 127.5, 127.5], "image_std": [255, 255, 255]}`,
			want: changed(func(p *spec.Preprocess) {
				p.Mode, p.Resize, p.Center, p.Mean, p.Deviation = spec.Squash, 224, spec.Floor, half, [3]float64{1, 1, 1}
			})},
		"lanczos":         {text: `{"size": 224, "resample": 1}`, problem: "resample is 1, want 0 (nearest), 2 (bilinear) or 3 (bicubic)"},
		"no resize":       {text: `{"do_resize": false, "size": 224}`, problem: "do_resize is false"},
		"shape kept":      {text: `{"size": {"shortest_edge": 224}, "do_center_crop": false}`, problem: "keep their shapes"},
		"oblong":          {text: `{"size": {"height": 224, "width": 256}}`, problem: "size is 224x256; want a square"},
		"oblong crop":     {text: `{"size": 256, "crop_size": {"height": 224, "width": 192}}`, problem: "crop_size is 224x192; want a square"},
		"384 by ConvNext": {text: `{"size": 384, ` + processorOf + `}`, problem: "size is 384; want a square"},
		"size 100":        {text: `{"size": 100}`, problem: "input of 100 pixels, want a multiple of 32 from 128 to 320"},
		"crop_pct 0":      {text: `{"size": 224, "crop_pct": 0}`, problem: "crop_pct is 0"},
		"mean of 4":       {text: `{"size": 224, "image_mean": [1, 2, 3, 4]}`, problem: "image_mean has 4 numbers"},
		"deviation of 0":  {text: `{"size": 224, "image_std": [0, 1, 1]}`, problem: "deviation"},
		"negative factor": {text: `{"size": 224, "rescale_factor": -1}`, problem: "rescale_factor is -1"},
	} {
		d, err := describe.Processor([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if test.problem != "" {
			if d.Problem == nil || !strings.Contains(d.Problem.Error(), "preprocessor_config.json: ") || !strings.Contains(d.Problem.Error(), test.problem) {
				t.Errorf("%s: problem %v, want one with %q", name, d.Problem, test.problem)
			}
			continue
		}
		if d.Problem != nil || d.Preprocess == nil || !near(*d.Preprocess, test.want) || d.Sources.Preprocess != "preprocessor_config.json" {
			t.Errorf("%s: %v of %q, problem %v, want %v", name, d.Preprocess, d.Sources.Preprocess, d.Problem, test.want)
		}
	}
	for _, text := range []string{"", "[]", `{"size": "large"}`, `{"size": null`} {
		if _, err := describe.Processor([]byte(text)); err == nil {
			t.Errorf("Processor(%q): no error", text)
		}
	}
}

// near compares with a tolerance for products such as 255 * 0.0078.
func near(a, b spec.Preprocess) bool {
	close := cmp.Comparer(func(x, y float64) bool { return x-y < 1e-12 && y-x < 1e-12 })
	return cmp.Equal(a, b, close)
}

func TestConfigOfTimm(t *testing.T) {
	t.Parallel()
	a1 := changed(func(p *spec.Preprocess) { p.Resize, p.Interpolation = 235, spec.Bicubic })
	for name, test := range map[string]struct {
		text    string
		want    *spec.Preprocess
		labels  string
		problem string
	}{
		"a1": {text: `{"architecture": "resnet18.a1_in1k", "num_classes": 2, "label_names": ["glass", "metal"], "pretrained_cfg": {"input_size": [3, 224, 224],
			"interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}`,
			want: &a1, labels: "glass metal"},
		"top level, old names": {text: `{"architecture": "gluon_resnet18_v1b", "labels": ["glass", "metal"], "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95}`,
			want: &a1, labels: "glass metal"},
		"data_config": {text: `{"architecture": "resnet18", "data_config": {"input_size": [3, 224, 224], "crop_pct": 0.95}}`, want: &a1},
		"squash": {text: `{"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 288, 288], "crop_pct": 1, "crop_mode": "squash", "interpolation": "bilinear"}}`,
			want: ptr(changed(func(p *spec.Preprocess) { p.Mode, p.Resize, p.Crop = spec.Squash, 288, 288 }))},
		"nothing said": {text: `{"architecture": "resnet18", "num_classes": 6}`},
		"synsets with descriptions": {text: `{"architecture": "resnet18", "label_names": ["n00000001", "n00000002"], "label_descriptions": {"n00000001": "glass", "n00000002": "metal"}}`,
			labels: "glass metal"},
		"names with descriptions": {text: `{"architecture": "resnet18", "label_names": ["glass", "metal"], "label_descriptions": {"glass": "is brittle", "metal": "shines"}}`,
			labels: "glass metal"},
		"border": {text: `{"architecture": "resnet18", "pretrained_cfg": {"crop_mode": "border", "crop_pct": 0.95}}`, problem: `crop_mode is "border", want center or squash`},
		"oblong": {text: `{"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 224, 256]}}`, problem: "input_size is [3 224 256]; want a square of 3 colors, with a side of 128 to 320"},
		"100":    {text: `{"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 100, 100]}}`, problem: "input of 100 pixels, want a multiple of 32 from 128 to 320"},
		"gray":   {text: `{"architecture": "resnet18", "pretrained_cfg": {"input_size": [1, 224, 224]}}`, problem: "input_size is [1 224 224]; want a square of 3 colors"},
		"filter": {text: `{"architecture": "resnet18", "pretrained_cfg": {"interpolation": "lanczos"}}`, problem: `interpolation is "lanczos"`},
		"share":  {text: `{"architecture": "resnet18", "pretrained_cfg": {"crop_pct": 1.5}}`, problem: "crop_pct is 1.5"},
	} {
		d, err := describe.Config([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(d.Labels, " "); got != test.labels {
			t.Errorf("%s: labels %q, want %q", name, got, test.labels)
		}
		if test.problem != "" {
			if d.Problem == nil || !strings.Contains(d.Problem.Error(), test.problem) {
				t.Errorf("%s: problem %v, want one with %q", name, d.Problem, test.problem)
			}
		} else if !cmp.Equal(d.Preprocess, test.want) || d.Problem != nil {
			t.Errorf("%s: %v, problem %v, want %v", name, d.Preprocess, d.Problem, test.want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestConfigOfTransformers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text       string
		labels     string
		activation spec.Activation
		notes      int
	}{
		"single label": {`{"model_type": "resnet", "architectures": ["ResNetForImageClassification"], "depths": [2, 2, 2, 2], "layer_type": "basic", "hidden_act": "relu",
			"hidden_sizes": [64, 128, 256, 512], "embedding_size": 64, "downsample_in_first_stage": false, "problem_type": "single_label_classification",
			"id2label": {"0": "glass", "1": "metal"}}`, "glass metal", spec.Softmax, 0},
		"multi label":     {`{"model_type": "resnet", "problem_type": "multi_label_classification", "label2id": {"glass": 0}}`, "glass", spec.Sigmoid, 0},
		"regression":      {`{"model_type": "resnet", "problem_type": "regression"}`, "", spec.None, 0},
		"no problem":      {`{"model_type": "resnet", "problem_type": null, "id2label": null}`, "", "", 0},
		"placeholders":    {`{"model_type": "resnet", "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}`, "", "", 0},
		"wrapper of timm": {`{"model_type": "timm_wrapper", "architecture": "resnet18", "label_names": ["glass"], "id2label": {"0": "LABEL_0"}}`, "glass", "", 0},
		"a gap":           {`{"model_type": "resnet", "id2label": {"0": "glass", "2": "metal"}}`, "", "", 1},
		"another program": {`{"labels": ["a"], "listen": ":80"}`, "", "", 0},
	} {
		d, err := describe.Config([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.Join(d.Labels, " ") != test.labels || d.Activation != test.activation || len(d.Notes) != test.notes || d.Preprocess != nil {
			t.Errorf("%s: %+v, want labels %q, activation %q and %d notes", name, d, test.labels, test.activation, test.notes)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		`{"model_type": "resnet", "layer_type": "bottleneck"}`:             `layer_type is "bottleneck", want basic: this is a ResNet-50`,
		`{"model_type": "resnet", "depths": [3, 4, 6, 3]}`:                 "depths are [3 4 6 3], want [2 2 2 2]",
		`{"model_type": "resnet", "downsample_in_first_stage": true}`:      "downsample_in_first_stage is true",
		`{"model_type": "resnet", "hidden_act": "gelu"}`:                   `hidden_act is "gelu", want relu`,
		`{"model_type": "resnet", "hidden_sizes": [256, 512, 1024, 2048]}`: "hidden_sizes are [256 512 1024 2048]",
		`{"model_type": "resnet", "embedding_size": 32}`:                   "embedding_size is 32",
		`{"model_type": "vit"}`:                                            `model_type is "vit", want resnet`,
		`{"architecture": "resnet50.a1_in1k"}`:                             `architecture is "resnet50.a1_in1k", want resnet18`,
		`{"architecture": "resnet18d"}`:                                    `architecture is "resnet18d"`,
		`{"architecture": "resnet18", "global_pool": "max"}`:               `global_pool is "max", want avg`,
		`{`:                 "config.json: ",
		`[]`:                "config.json: ",
		`{"model_type": 3}`: "config.json: ",
		`{"model_type": "` + strings.Repeat("x", describe.MaxBytes) + `"}`:    "bytes, want at most",
		`{"model_type": "resnet", "depths": [2, 2, 2, 2, 2]}`:                 "depths are",
		`{"architectures": ["ViTForImageClassification"], "depths": [1]}`:     "depths are [1]",
		`{"architecture": "resnet18", "pretrained_cfg": {"input_size": "x"}}`: "config.json: ",
	} {
		if _, err := describe.Config([]byte(text)); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("Config(%.80s): %v, want an error with %q", text, err, problem)
		}
	}
}

func TestBeside(t *testing.T) {
	t.Parallel()
	config := &fstest.MapFile{Data: []byte(`{"model_type": "resnet", "id2label": {"0": "glass"}}`)}
	processor := &fstest.MapFile{Data: []byte(`{"size": {"shortest_edge": 224}, ` + processorOf + `}`)}
	timm := &fstest.MapFile{Data: []byte(`{"architecture": "resnet18", "label_names": ["glass"], "pretrained_cfg": {"input_size": [3, 160, 160]}}`)}
	for name, test := range map[string]struct {
		files   fstest.MapFS
		want    describe.Sources
		problem string
	}{
		"nothing":         {fstest.MapFS{}, describe.Sources{}, ""},
		"both":            {fstest.MapFS{"config.json": config, "preprocessor_config.json": processor}, describe.Sources{Labels: "config.json", Preprocess: "preprocessor_config.json"}, ""},
		"timm":            {fstest.MapFS{"config.json": timm}, describe.Sources{Labels: "config.json", Preprocess: "config.json"}, ""},
		"timm and other":  {fstest.MapFS{"config.json": timm, "preprocessor_config.json": processor}, describe.Sources{Labels: "config.json", Preprocess: "preprocessor_config.json"}, ""},
		"timm's wrapper":  {fstest.MapFS{"config.json": timm, "preprocessor_config.json": {Data: []byte(`{"image_processor_type": "TimmWrapperImageProcessor"}`)}}, describe.Sources{Labels: "config.json", Preprocess: "config.json"}, ""},
		"a folder":        {fstest.MapFS{"config.json": {Mode: fs.ModeDir}}, describe.Sources{}, ""},
		"another program": {fstest.MapFS{"config.json": {Data: []byte(`{"port": 80}`)}}, describe.Sources{}, ""},
		"broken":          {fstest.MapFS{"config.json": {Data: []byte(`{"port`)}}, describe.Sources{}, "config.json: unexpected end"},
		"large":           {fstest.MapFS{"config.json": {Data: make([]byte, describe.MaxBytes+1)}}, describe.Sources{}, "bytes, want at most"},
	} {
		d, err := describe.Beside(test.files)
		if test.problem != "" {
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%s: %v, want an error with %q", name, err, test.problem)
			}
			continue
		}
		if err != nil || d.Sources != test.want {
			t.Errorf("%s: %+v, %v, want %+v", name, d.Sources, err, test.want)
		}
	}
}

func TestMetadataRoundTrip(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]spec.Model{
		"ImageNet": spec.ImageNet(),
		"labels":   {Labels: []string{"a \"b\"", "<ü>"}, Head: spec.Linear(2), Preprocess: transformers()},
		"head": {Head: spec.Head{Pool: spec.MaxAverage, ReLU: []bool{true, false}, Classes: 1, Activation: spec.Sigmoid},
			Preprocess: changed(func(p *spec.Preprocess) { p.Mode, p.Orient, p.Mean[1] = spec.Fill, true, 1./3 })},
		"embedding": {Head: spec.Head{Pool: spec.Average, Activation: spec.None}, Preprocess: spec.Torchvision()},
	} {
		metadata, err := describe.Encode(m, map[string]string{"classes": `["x"]`})
		if err != nil {
			t.Fatal(err)
		}
		d, err := describe.Metadata(metadata)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := spec.Model{Head: spec.Head{Pool: spec.Average, ReLU: make([]bool, len(m.Head.ReLU)), Classes: m.Head.Classes, Activation: spec.None}}
		if _, notes, err := d.Apply(&got, describe.Options{}); err != nil || !cmp.Equal(got, m) || notes != nil {
			t.Errorf("%s: %+v, %q, %v, want %+v", name, got, notes, err, m)
		}
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		metadata map[string]string
		labels   string
		notes    int
		problem  string // of the preprocessing
		err      string
	}{
		"none":              {map[string]string{"format": "pt"}, "", 0, "", ""},
		"classes":           {map[string]string{"classes": `["glass", "metal"]`}, "glass metal", 0, "", ""},
		"id2label":          {map[string]string{"id2label": ` {"0": "glass", "1": "metal"}`}, "glass metal", 0, "", ""},
		"Python's form":     {map[string]string{"names": `{0: 'glass'}`}, "", 1, "", ""},
		"not JSON":          {map[string]string{"labels": "see the page"}, "", 0, "", ""},
		"preprocessing":     {map[string]string{"preprocess": `{"mode": "shorter"}`}, "", 0, "metadata of the file: interpolation", ""},
		"not ours":          {map[string]string{"preprocess": "yes"}, "", 0, "metadata of the file: ", ""},
		"a head that lies":  {map[string]string{"head": `{"pool": "average", "relu": [true], "classes": 2, "activation": "softmax"}`}, "", 0, "", "ReLU after the last layer"},
		"a head not parsed": {map[string]string{"head": `[]`}, "", 0, "", "metadata head"},
	} {
		d, err := describe.Metadata(test.metadata)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v, want an error with %q", name, err, test.err)
			}
			continue
		}
		if err != nil || strings.Join(d.Labels, " ") != test.labels || len(d.Notes) != test.notes || (d.Problem == nil) != (test.problem == "") {
			t.Errorf("%s: %+v, %v, want labels %q, %d notes and problem %q", name, d, err, test.labels, test.notes, test.problem)
		}
		if d.Problem != nil && !strings.HasPrefix(d.Problem.Error(), test.problem) {
			t.Errorf("%s: problem %v, want %q", name, d.Problem, test.problem)
		}
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	two := []string{"glass", "metal"}
	for name, test := range map[string]struct {
		facts  map[string]any
		labels []string
		from   string
		mean   [3]float64
	}{
		"none":        {map[string]any{"epoch": int64(3), "args.labels": "labels.txt", "classes": int64(2)}, nil, "", [3]float64{}},
		"mmpretrain":  {map[string]any{"meta.dataset_meta.classes": two}, two, "checkpoint's meta.dataset_meta.classes", [3]float64{}},
		"mmcls":       {map[string]any{"meta.CLASSES": two}, two, "checkpoint's meta.CLASSES", [3]float64{}},
		"ImageFolder": {map[string]any{"class_to_idx": map[string]int64{"metal": 1, "glass": 0}}, two, "checkpoint's class_to_idx", [3]float64{}},
		"by index":    {map[string]any{"hyper_parameters.id2label": map[int64]string{1: "metal", 0: "glass"}}, two, "checkpoint's hyper_parameters.id2label", [3]float64{}},
		"nearest":     {map[string]any{"a.classes": []string{"x", "y"}, "class_names": two}, two, "checkpoint's class_names", [3]float64{}},
		"bytes": {map[string]any{"data.mean": []float64{51, 102, 127.5}, "data.std": []float64{51, 51, 51}}, nil, "",
			[3]float64{0.2, 0.4, 0.5}},
		"units":        {map[string]any{"args.mean": []float64{0.2, 0.4, 0.5}, "args.std": []float64{0.2, 0.2, 0.2}}, nil, "", [3]float64{0.2, 0.4, 0.5}},
		"no deviation": {map[string]any{"args.mean": []float64{0.2, 0.4, 0.5}}, nil, "", [3]float64{}},
		"no sense":     {map[string]any{"mean": []float64{0.2, 0.4, 0.5}, "std": []float64{0, 0, 0}}, nil, "", [3]float64{}},
	} {
		d := describe.Facts(test.facts)
		if !slices.Equal(d.Labels, test.labels) || d.Sources.Labels != test.from {
			t.Errorf("%s: labels %q from %q, want %q from %q", name, d.Labels, d.Sources.Labels, test.labels, test.from)
		}
		var mean [3]float64
		if d.Preprocess != nil {
			mean = d.Preprocess.Mean
		}
		if mean != test.mean {
			t.Errorf("%s: mean %v, want %v", name, mean, test.mean)
		}
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	six := strings.Fields("cardboard glass metal paper plastic trash")
	broken := errors.New("config.json: crop_mode is border")
	for name, test := range map[string]struct {
		found   describe.Description
		options describe.Options
		head    spec.Head
		want    spec.Model
		from    describe.Sources
		notes   int
		problem string
	}{
		"nothing": {head: spec.Linear(6), want: spec.Model{Head: spec.Linear(6), Preprocess: spec.Torchvision()}},
		"all of the files": {
			found: describe.Description{Labels: six, Preprocess: ptr(transformers()), Activation: spec.Sigmoid, Sources: describe.Sources{Labels: "a", Preprocess: "b", Activation: "c"}},
			head:  spec.Linear(6), want: spec.Model{Labels: six, Head: sigmoid(6), Preprocess: transformers()}, from: describe.Sources{Labels: "a", Preprocess: "b", Activation: "c"}},
		"all of the user": {
			found:   describe.Description{Labels: six[:2], Preprocess: ptr(transformers()), Activation: spec.Softmax, Sources: describe.Sources{Labels: "a", Preprocess: "b", Activation: "c"}},
			options: describe.Options{Labels: six, Preprocess: "resize=232", Activation: spec.Sigmoid},
			head:    spec.Linear(6),
			want: spec.Model{Labels: six, Head: sigmoid(6), Preprocess: changed(func(p *spec.Preprocess) {
				p.Interpolation, p.Center, p.Resize = spec.Bicubic, spec.Floor, 232
			})},
			from: describe.Sources{Labels: "options", Preprocess: "options", Activation: "options"}},
		"labels of another model": {found: describe.Description{Labels: six, Sources: describe.Sources{Labels: "config.json"}}, head: spec.Linear(5),
			want: spec.Model{Head: spec.Linear(5), Preprocess: spec.Torchvision()}, notes: 1},
		"too few of the user": {options: describe.Options{Labels: six[:5]}, head: spec.Linear(6), problem: "5 labels for 6 classes"},
		"one output": {found: describe.Description{Activation: spec.Softmax, Sources: describe.Sources{Activation: "config.json"}}, head: sigmoid(1),
			want: spec.Model{Head: sigmoid(1), Preprocess: spec.Torchvision()}},
		"softmax of one by the user": {options: describe.Options{Activation: spec.Softmax}, head: sigmoid(1), problem: "softmax of one output"},
		"an activation that is none": {options: describe.Options{Activation: "tanh"}, head: spec.Linear(6), problem: `activation "tanh"`},
		"another head": {found: describe.Description{Head: ptr(spec.Linear(5))}, head: spec.Linear(6),
			problem: `metadata "head" describes 1 layers and 5 classes, the weights have 1 and 6`},
		"a problem": {found: describe.Description{Problem: broken}, head: spec.Linear(6), problem: "crop_mode is border; to choose a preprocessing, begin --preprocess with"},
		"a problem that the user's part does not solve": {found: describe.Description{Problem: broken}, options: describe.Options{Preprocess: "resize=232"}, head: spec.Linear(6),
			problem: "crop_mode is border"},
		"a problem that the user solves": {found: describe.Description{Problem: broken, Sources: describe.Sources{Preprocess: "config.json"}},
			options: describe.Options{Preprocess: "torchvision,resize=232"}, head: spec.Linear(6),
			want: spec.Model{Head: spec.Linear(6), Preprocess: changed(func(p *spec.Preprocess) { p.Resize = 232 })}, from: describe.Sources{Preprocess: "options"}},
		"wrong text": {options: describe.Options{Preprocess: "size=224"}, head: spec.Linear(6), problem: `preprocessing "size"`},
	} {
		m := spec.Model{Head: test.head, Preprocess: spec.Torchvision()}
		from, notes, err := test.found.Apply(&m, test.options)
		if test.problem != "" {
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%s: %v, want an error with %q", name, err, test.problem)
			}
			continue
		}
		if err != nil || !cmp.Equal(m, test.want) || from != test.from || len(notes) != test.notes {
			t.Errorf("%s: %+v from %+v, %q, %v, want %+v from %+v and %d notes", name, m, from, notes, err, test.want, test.from, test.notes)
		}
	}
}

func sigmoid(classes int) spec.Head {
	h := spec.Linear(classes)
	h.Activation = spec.Sigmoid
	return h
}

// TestSideFilesOfSharedModels compares the side files of models with what the libraries that wrote them do.
func TestSideFilesOfSharedModels(t *testing.T) {
	t.Parallel()
	root := testutil.Shared(t, "own")
	type expectation struct {
		File       string
		Load       string
		Labels     []string
		Preprocess struct {
			Resize, Crop                int
			Interpolation, Mode, Center string
			Mean, Std                   [3]float64
		}
	}
	compared := 0
	for _, want := range testutil.Lines[expectation](t, filepath.Join(root, "expectations.jsonl")) {
		folder := path.Dir(want.File)
		if want.Load != "ok" || folder == "." {
			continue
		}
		compared++
		d, err := describe.Beside(os.DirFS(filepath.Join(root, "checkpoints", folder)))
		if err != nil || d.Problem != nil || d.Preprocess == nil {
			t.Errorf("%s: %+v, %v", want.File, d, err)
			continue
		}
		w := want.Preprocess
		if w.Center == "" {
			w.Center = string(spec.HalfEven)
		}
		p := spec.Preprocess{Mode: spec.Mode(w.Mode), Resize: w.Resize, Crop: w.Crop, Interpolation: spec.Interpolation(w.Interpolation),
			Center: spec.Rounding(w.Center), Mean: w.Mean, Deviation: w.Std}
		if *d.Preprocess != p || !slices.Equal(d.Labels, want.Labels) {
			t.Errorf("%s: %v and %q, want %v and %q", want.File, d.Preprocess, d.Labels, p, want.Labels)
		}
	}
	if compared < 4 {
		t.Errorf("%d folders compared, want at least 4", compared)
	}
}

// FuzzSideFiles checks that foreign bytes end in an error or a valid description.
func FuzzSideFiles(f *testing.F) {
	f.Add([]byte(`{"size": {"shortest_edge": 224}, ` + processorOf + `}`))
	f.Add([]byte(`{"architecture": "resnet18", "label_names": ["a"], "pretrained_cfg": {"input_size": [3, 160, 160], "crop_pct": 0.95, "crop_mode": "squash"}}`))
	f.Add([]byte(`{"model_type": "resnet", "id2label": {"0": "a"}, "problem_type": "regression"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []func([]byte) (describe.Description, error){describe.Config, describe.Processor, func(data []byte) (describe.Description, error) {
			return describe.Metadata(map[string]string{"head": string(data), "preprocess": string(data), "labels": string(data)})
		}} {
			d, err := read(data)
			if err == nil && d.Preprocess != nil && d.Preprocess.Validate() != nil {
				t.Errorf("%q gives %v", data, d.Preprocess)
			}
			m := spec.Model{Head: spec.Linear(max(1, len(d.Labels))), Preprocess: spec.Torchvision()}
			_, _, _ = d.Apply(&m, describe.Options{})
		}
	})
}
