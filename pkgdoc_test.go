package resnet18cloud_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnePackageComment checks that each package has exactly one package comment.
func TestOnePackageComment(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		var documented []string
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil,
				parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != "" {
				documented = append(documented, name)
			}
		}
		if len(p.GoFiles) > 0 && len(documented) != 1 {
			t.Errorf("%s: want one file with a package comment, got %d %v", p.rel(), len(documented), documented)
		}
	}
}

// importsOf reports whether a file imports a package with the given path prefix.
func importsOf(t *testing.T, dir, name, prefix string) bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		if strings.HasPrefix(strings.Trim(spec.Path.Value, `"`), prefix) {
			return true
		}
	}
	return false
}
