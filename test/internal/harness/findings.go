package harness

import (
	"fmt"
	"testing"
)

// Findings are the errors found, by kind, with one example of each. The zero value is ready to use.
type Findings struct {
	kinds []string
	count map[string]int
	first map[string]string
}

// Add counts an error of a kind. The other arguments describe it.
func (f *Findings) Add(kind, format string, args ...any) {
	if f.count == nil {
		f.count, f.first = map[string]int{}, map[string]string{}
	}
	if f.count[kind]++; f.count[kind] == 1 {
		f.kinds = append(f.kinds, kind)
		f.first[kind] = fmt.Sprintf(format, args...)
	}
}

// Report fails the test once for each kind.
func (f *Findings) Report(t testing.TB) {
	t.Helper()
	for _, kind := range f.kinds {
		t.Errorf("%d times %s; first: %s", f.count[kind], kind, f.first[kind])
	}
}
