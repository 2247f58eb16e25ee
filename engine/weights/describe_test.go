package weights

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
)

// TestDescribe checks which source a part is taken from, and that the version changes with what others than the file say.
func TestDescribe(t *testing.T) {
	t.Parallel()
	empty, side, broken := t.TempDir(), t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		filepath.Join(side, "config.json"):              `{"model_type": "resnet", "id2label": {"0": "ant", "1": "bee"}, "problem_type": "multi_label_classification"}`,
		filepath.Join(side, "preprocessor_config.json"): `{"size": {"height": 160, "width": 160}}`,
		filepath.Join(broken, "config.json"):            `{"model_type": "vit"}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := describe.Encode(spec.Model{Labels: []string{"cat", "dog"}, Head: spec.Linear(2), Preprocess: spec.Torchvision()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]string{"classes": `["cat", "dog"]`}
	for name, test := range map[string]struct {
		metadata map[string]string
		folder   string
		facts    map[string]any
		options  describe.Options
		labels   string
		crop     int
		same     bool // the version is the file's hash
		problem  string
	}{
		"nothing":                  {folder: empty, crop: 224, same: true},
		"metadata":                 {metadata: classes, folder: empty, labels: "cat dog", crop: 224, same: true},
		"checkpoint":               {folder: empty, facts: map[string]any{"classes": []string{"fly", "gnat"}}, labels: "fly gnat", crop: 224, same: true},
		"side files":               {folder: side, facts: map[string]any{"classes": []string{"fly", "gnat"}}, labels: "ant bee", crop: 160},
		"metadata and side files":  {metadata: classes, folder: side, labels: "cat dog", crop: 160},
		"a converted file":         {metadata: whole, folder: side, labels: "cat dog", crop: 224, same: true},
		"a converted file, broken": {metadata: whole, folder: broken, labels: "cat dog", crop: 224, same: true},
		"options":                  {metadata: whole, folder: side, options: describe.Options{Labels: []string{"x", "y"}, Preprocess: "crop=192"}, labels: "x y", crop: 192},
		"options that change nothing": {metadata: whole, folder: empty, options: describe.Options{Labels: []string{"cat", "dog"}, Preprocess: "crop=224"},
			labels: "cat dog", crop: 224, same: true},
		"another architecture": {folder: broken, problem: `model_type is "vit"`},
		"wrong options":        {folder: empty, options: describe.Options{Labels: []string{"x"}}, problem: "1 labels for 2 classes"},
		"broken metadata":      {metadata: map[string]string{"head": "{}"}, folder: empty, problem: "metadata head"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Set{Metadata: test.metadata, SHA256: strings.Repeat("0", 64), Spec: spec.Model{Head: spec.Linear(2), Preprocess: spec.Torchvision()}, name: "m"}
			err := s.describe(test.folder, test.facts, test.options)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("describe: %v, want an error with %q", err, test.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.Spec.Labels, strings.Fields(test.labels)) || s.Spec.Preprocess.Crop != test.crop {
				t.Errorf("labels %q and crop %d, want %q and %d", s.Spec.Labels, s.Spec.Preprocess.Crop, test.labels, test.crop)
			}
			if same := s.Version() == s.SHA256; same != test.same || s.Identity() == "m@00000000" != test.same {
				t.Errorf("version %s, identity %s, want that of the file: %t", s.Version(), s.Identity(), test.same)
			}
		})
	}
}

// TestNormalizationInside checks that side files do not change what the model does itself.
func TestNormalizationInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "preprocessor_config.json"), []byte(`{"size": 160, "do_normalize": false}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Set{SHA256: strings.Repeat("0", 64), Spec: spec.Model{Head: spec.Linear(2), Preprocess: spec.Torchvision()}, inside: true}
	if err := s.describe(dir, nil, describe.Options{}); err != nil {
		t.Fatal(err)
	}
	if p := s.Spec.Preprocess; p.Crop != 160 || p.Mean != spec.Torchvision().Mean || p.Deviation != spec.Torchvision().Deviation {
		t.Errorf("preprocessing %v, want a size of 160 and the model's own mean and deviation", p)
	}
}

// expectedDescription is the part of an expectation that says what a model is apart from its weights.
type expectedDescription struct {
	Labels     []string
	Activation string
	Preprocess struct {
		Resize, Crop                int
		Interpolation, Mode, Center string
		Mean, Std                   [3]float64
	}
}

func checkDescription(t *testing.T, set *Set, want expectedDescription) {
	t.Helper()
	p := want.Preprocess
	wantPreprocess := spec.Preprocess{Mode: spec.Mode(p.Mode), Resize: p.Resize, Crop: p.Crop, Interpolation: spec.Interpolation(p.Interpolation),
		Center: spec.Rounding(cmp.Or(p.Center, string(spec.HalfEven))), Mean: p.Mean, Deviation: p.Std}
	if p.Mode != "" && set.Spec.Preprocess != wantPreprocess {
		t.Errorf("preprocessing %v, want %v", set.Spec.Preprocess, wantPreprocess)
	}
	if !slices.Equal(set.Spec.Labels, want.Labels) {
		t.Errorf("labels %q, want %q", set.Spec.Labels, want.Labels)
	}
	if activation, _, _ := strings.Cut(want.Activation, " "); set.Spec.Head.Classes > 1 && activation != "" && string(set.Spec.Head.Activation) != activation {
		t.Errorf("activation %q, want %q", set.Spec.Head.Activation, activation)
	}
}
