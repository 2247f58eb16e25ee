package load

import (
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
