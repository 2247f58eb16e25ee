package target

import (
	"strings"
	"testing"
)

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
