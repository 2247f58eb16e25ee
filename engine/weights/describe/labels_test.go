package describe_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// forms are two labels, glass and metal, as people write them.
var forms = map[string]string{
	"lines":                       "glass\nmetal\n",
	"lines of Windows":            "\ufeffglass\r\nmetal\r\n",
	"blank lines":                 "\n\n glass \n\n\tmetal\n\n\n",
	"no end of line":              "glass\nmetal",
	"synsets":                     "n00000000 glass, alias\nn00000001 metal\n",
	"places":                      "/g/glass 0\n/m/metal 1\n",
	"places in another order":     "/m/metal 1\n/g/glass 0\n",
	"index first":                 "0 glass\n1 metal\n",
	"index first with colons":     "0: glass\n1: metal\n",
	"index last":                  "glass 0\nmetal 1\n",
	"list":                        `["glass", "metal"]`,
	"list of pairs":               `[["n00000000", "glass"], ["n00000001", "metal"]]`,
	"by index":                    `{"0": "glass", "1": "metal"}`,
	"by index in another order":   `{"1": "metal", "0": "glass"}`,
	"by name":                     `{"glass": 0, "metal": 1}`,
	"imagenet_class_index":        `{"0": ["n00000000", "glass"], "1": ["n00000001", "metal"]}`,
	"id2label":                    `{"model_type": "resnet", "id2label": {"0": "glass", "1": "metal"}, "depths": [2, 2, 2, 2]}`,
	"label2id":                    `{"label2id": {"glass": 0, "metal": 1}}`,
	"classes":                     `{"classes": ["glass", "metal"]}`,
	"label_names before id2label": `{"id2label": {"0": "x"}, "label_names": ["glass", "metal"]}`,
	"JSON with a mark":            "\ufeff [\"glass\",\r\n\"metal\"]\r\n",
}

func TestLabels(t *testing.T) {
	t.Parallel()
	for name, text := range forms {
		got, err := describe.Labels([]byte(text))
		if want := []string{"glass", "metal"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: Labels(%q) = %q, %v, want %q", name, text, got, err, want)
		}
	}
}

// TestLabelsWithNumbers checks that numbers in names are not taken for indices.
func TestLabelsWithNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"class 0\nclass 1":             {"class 0", "class 1"},
		"3 of hearts\n4 of hearts":     {"3 of hearts", "4 of hearts"},
		"route 66\nroute 1":            {"route 66", "route 1"},
		"0\n1\n2":                      {"0", "1", "2"},
		`{"0": 0, "1": 1}`:             {"0", "1"},
		`{"labels": 0, "classes": 1}`:  {"labels", "classes"},
		"/a/b/c 1\n/d/indoor/x y 0":    {"indoor/x y", "b/c"},
		"Grüße\n寿司":                    {"Grüße", "寿司"},
		"n02119789 kit fox, Vulpes m.": {"kit fox"},
		`["a\u00e9"]`:                  {"aé"},
	} {
		if got, err := describe.Labels([]byte(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("Labels(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestLabelsRefuse(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("x\n", spec.MaxClasses+1)
	for text, problem := range map[string]string{
		"":                                  "no labels: the file is empty",
		"\ufeff\r\n \n":                     "no labels: the file is empty",
		"[]":                                "no labels: the list is empty",
		"{}":                                "no labels: the list is empty",
		"a\x1b[2J\nb":                       "label 0, \"a\\x1b[2J\", has control characters",
		"a\x00b":                            "control characters",
		`["a", "\u0007"]`:                   "label 1, \"\\a\", has control characters",
		`["a", " "]`:                        "label 1 is empty",
		`["a", 3]`:                          `label 1 is "3", want a text`,
		`["a", null]`:                       `label 1 is "null", want a text`,
		`["a"`:                              "unexpected end",
		`["a"] x`:                           "invalid character",
		`{"0": "a"`:                         "labels: ",
		`{"0": "a"} {}`:                     "more follows the JSON object",
		`{"0": "a"}}`:                       "more follows the JSON object",
		`{"0": "a", "0": "b"}`:              `index 0 has two labels, "a" and "b"`,
		`{"0": "a", "00": "b"}`:             `index 0 has two labels`,
		`{"a": 0, "b": 0}`:                  `index 0 has two labels, "a" and "b"`,
		`{"0": "a", "2": "b"}`:              "2 labels, and none has index 1; want indices 0 to 1",
		`{"1": "a", "2": "b"}`:              "2 labels, and none has index 0; want indices 0 to 1",
		`{"a": -1}`:                         `index "-1" of label "a"`,
		`{"a": 0.5}`:                        `index "0.5" of label "a"`,
		`{"a": null}`:                       `index "null" of label "a"`,
		`{"x": "a", "1": "b"}`:              `index "x" of label "a"`,
		`{"labels": {"labels": ["a"]}}`:     `index "[\"a\"]" of label "labels"`,
		"/a/airfield 0\n/b/bar 0":           `index 0 has two labels, "airfield" and "bar"`,
		"/a/airfield 0\n/b/bar 2":           "none has index 1",
		"/a/airfield 99999999999999999999":  "index",
		"\xff\xfea\x00":                     "UTF-16",
		"caf\xe9":                           "not UTF-8",
		many:                                "2001 labels, want at most 2000",
		strings.Repeat("x", 513):            "label 0 has 513 bytes, want at most 512",
		strings.Repeat(" ", 4<<20) + "x":    "labels have 4194305 bytes, want at most",
		strings.Repeat("[", 20_000):         "exceeded max depth",
		`{"0":` + strings.Repeat("[", 1000): "unexpected EOF",
	} {
		got, err := describe.Labels([]byte(text))
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("Labels(%.60q) = %q, %v, want an error with %q", text, got, err, problem)
		}
	}
}

// TestLabelsOfSharedFiles reads the same six labels in each form.
func TestLabelsOfSharedFiles(t *testing.T) {
	t.Parallel()
	dir := testutil.Shared(t, "own/checkpoints/labels")
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%q, %v, want at least 8 files", files, err)
	}
	want := []string{"cardboard", "glass", "metal", "paper", "plastic", "trash"}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := want
		if strings.HasPrefix(filepath.Base(file), "bad-5") {
			want = want[:5]
		}
		if got, err := describe.Labels(data); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", filepath.Base(file), got, err, want)
		}
	}
}

func FuzzLabels(f *testing.F) {
	for _, text := range forms {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"0": ["n00000000", "a"], "0": {"a": [null]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		labels, err := describe.Labels(data)
		if err != nil {
			return
		}
		if len(labels) == 0 || len(labels) > spec.MaxClasses {
			t.Errorf("%d labels", len(labels))
		}
		for i, label := range labels {
			if label != strings.TrimSpace(label) || label == "" || strings.ContainsFunc(label, unicode.IsControl) {
				t.Errorf("label %d is %q", i, label)
			}
		}
		m := spec.Model{Labels: labels, Head: sigmoid(len(labels)), Preprocess: spec.Torchvision()}
		metadata, err := describe.Encode(m, map[string]string{"classes": `["x"]`})
		if err != nil {
			t.Fatal(err)
		}
		d, err := describe.Metadata(metadata)
		if err != nil || !slices.Equal(d.Labels, labels) {
			t.Errorf("labels %q are %q in metadata (%v)", labels, d.Labels, err)
		}
	})
}

func ExampleLabels() {
	labels, err := describe.Labels([]byte(`{"ants": 0, "bees": 1}`))
	fmt.Println(labels, err)
	// Output: [ants bees] <nil>
}
