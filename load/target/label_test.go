package target

import (
	"strings"
	"testing"
)

func TestLabelAt(t *testing.T) {
	t.Parallel()
	const answer = `{"classes":[{"name":"goldfinch","score":0.9},{"name":"junco"}]}`
	for path, want := range map[string]string{"classes.0.name": "goldfinch", "classes.1.name": "junco"} {
		if got, err := LabelAt(path)([]byte(answer)); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
	for path, want := range map[string]string{
		"classes.9.name": `no element "9" in an array of 2`, "classes.-1": `no element "-1"`, "classes.x": `no element "x"`,
		"classes.0.score": "not a string", "a.b": `nothing at "b"`,
	} {
		if got, err := LabelAt(path)([]byte(answer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want an error with %q", path, got, err, want)
		}
	}
	if _, err := LabelAt("label")([]byte("<html>")); err == nil {
		t.Error("not JSON: no error")
	}
}
