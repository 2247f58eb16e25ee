package load

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzExpectation: whatever is read has a name and a label in each entry.
func FuzzExpectation(f *testing.F) {
	f.Add(`{"file":"a.jpg","label":"goldfinch"}` + "\n" + `{"file":"dir/b.jpg","top5_names":["bulbul","junco"]}`)
	f.Add(`{"file":"","label":"x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		expected, err := parseExpectation(strings.NewReader(text))
		for name, label := range expected {
			if err == nil && (name == "" || label == "") {
				t.Errorf("%q is read as %v", text, expected)
			}
		}
	})
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

// FuzzReadFound: what is read can be written, and planned with.
func FuzzReadFound(f *testing.F) {
	result := `{"format":"` + format + `","sent":3,"ok":3,"elapsed":2,"timeline":[{"second":1,"answered":3}]}`
	f.Add([]byte(`{"format":"` + searchFormat + `","slo":["p99<1s"],"rate":2,"trials":[{"rate":2,"holds":true,"result":` + result + `}]}`))
	f.Add([]byte(`{"format":"` + searchFormat + `","trials":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "search.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := ReadFound(path)
		if err != nil {
			return
		}
		found.Best()
		found.Limit()
		found.ReplicaCost()
		if err := found.WriteFile(path); err != nil {
			t.Errorf("read, but cannot be written: %v", err)
		}
	})
}
