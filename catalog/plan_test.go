package catalog

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestPlan checks what is done with the files of a folder.
func TestPlan(t *testing.T) {
	t.Parallel()
	// A folder is written as names with sizes.
	files := func(sizes map[string]int64) look {
		l := look{}
		for base, size := range sizes {
			name, version, _, err := parseName(base)
			if err != nil {
				t.Fatal(err)
			}
			l[base] = file{base, name, version, stamp{size: size, modified: time.Unix(size, 0)}}
		}
		return l
	}
	type m = map[string]int64
	for name, test := range map[string]struct {
		found, before, known m
		now                  bool
		want                 []string
	}{
		"start": {m{"b.pth": 1, "a@10.pth": 1, "a@9.pth": 1}, nil, nil, true,
			[]string{"load a@9.pth", "load a@10.pth", "load b.pth"}},
		"nothing new":                  {m{"a.pth": 1}, m{"a.pth": 1}, m{"a.pth": 1}, false, nil},
		"new, seen once":               {m{"a.pth": 1, "b.pth": 1}, m{"a.pth": 1}, m{"a.pth": 1}, false, nil},
		"new, still growing":           {m{"b.pth": 2}, m{"b.pth": 1}, nil, false, nil},
		"new, seen twice":              {m{"b.pth": 2}, m{"b.pth": 2}, nil, false, []string{"load b.pth"}},
		"changed, seen once":           {m{"a.pth": 2}, m{"a.pth": 1}, m{"a.pth": 1}, false, nil},
		"changed, seen twice":          {m{"a.pth": 2}, m{"a.pth": 2}, m{"a.pth": 1}, false, []string{"load a.pth"}},
		"changed, asked for":           {m{"a.pth": 2}, m{"a.pth": 1}, m{"a.pth": 1}, true, []string{"load a.pth"}},
		"gone, missed once":            {m{}, m{"a.pth": 1}, m{"a.pth": 1}, false, nil},
		"gone, missed twice":           {m{}, m{}, m{"a.pth": 1}, false, []string{"drop a.pth"}},
		"gone, asked for":              {m{}, m{"a.pth": 1}, m{"a.pth": 1}, true, []string{"drop a.pth"}},
		"replaced by a version":        {m{"a@2.pth": 1}, nil, m{"a@1.pth": 1}, true, []string{"load a@2.pth", "drop a@1.pth"}},
		"same version twice":           {m{"a@2.onnx": 1, "a@2.pth": 1}, nil, nil, true, []string{"refuse a@2.pth", "load a@2.onnx"}},
		"same version, refused before": {m{"a@2.onnx": 1, "a@2.pth": 1}, m{}, m{"a@2.onnx": 1, "a@2.pth": 1}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, a := range plan(files(test.found), files(test.before), files(test.known), test.now) {
				got = append(got, fmt.Sprintf("%s %s", a.kind, a.file.base))
				if (a.kind == refuse) != (a.reason != "") {
					t.Errorf("%s %s for %q", a.kind, a.file.base, a.reason)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("plan: %q, want %q", got, test.want)
			}
		})
	}
}

func TestParseName(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"trash.safetensors":      "trash  true",
		"trash@2.safetensors":    "trash 2 true",
		"trash@1.9.pth.gz":       "trash 1.9 true",
		"resnet18-f37072fd.pth":  "resnet18-f37072fd  true",
		"v1.2.onnx":              "v1.2  true",
		"README.md":              "  false",
		"trash.onnx.data":        "  false",
		".trash.pth":             "  false",
		"trash.safetensors.part": "  false",
		"trash@.pth":             "error",
		"@2.pth":                 "error",
		"a b.pth":                "error",
		"a@1@2.pth":              "error",
	} {
		name, version, ok, err := parseName(base)
		got := fmt.Sprint(name, " ", version, " ", ok)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("parseName(%q) = %q, want %q", base, got, want)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	sorted := []string{"", "1", "1.9", "1.10", "2", "10", "2024-01-31", "2024-02-01", "v1", "v2", "v2b", "v10"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := compareVersions(a, b); sign(got) != sign(i-j) {
				t.Errorf("compareVersions(%q, %q) = %d, want the sign of %d", a, b, got, i-j)
			}
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"a@1.pth", "a.pth.gz", "..pth", "@.onnx", "a@01.bin"} {
		f.Add(s, "a@2.pth")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		name, version, ok, err := parseName(a)
		if ok && err == nil && !validName.MatchString(name) {
			t.Errorf("name %q", name)
		}
		_, other, _, _ := parseName(b)
		if compareVersions(version, other) != -compareVersions(other, version) {
			t.Errorf("versions %q and %q are not ordered", version, other)
		}
	})
}
