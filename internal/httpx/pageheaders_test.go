package httpx

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestPageHeaders checks that the headers which the servers' code reads from requests are those that pages of other
// origins may send, except those that pages cannot set or that come from others.
func TestPageHeaders(t *testing.T) {
	t.Parallel()
	read := headersRead(t, "dispatch", "replica", "autoscale/autoscaler", "internal/access", "internal/clientaddr", "internal/httpx")
	for name, why := range map[string]string{
		"Origin":                        "set by browsers",
		"Access-Control-Request-Method": "set by browsers",
		"Forwarded":                     "set by proxies",
		"X-Forwarded-For":               "set by proxies",
		"Content-Transfer-Encoding":     "a header of parts of forms",
	} {
		if !read[name] {
			t.Errorf("%s (%s) is not read", name, why)
		}
		delete(read, name)
	}
	want := slices.Sorted(maps.Keys(read))
	if got := strings.Split(pageHeaders, ", "); !slices.Equal(got, want) {
		t.Errorf("pages may send %v, the servers read %v", got, want)
	}
}

// headersRead returns the names of headers that the Go files of folders read from requests.
func headersRead(t *testing.T, folders ...string) map[string]bool {
	t.Helper()
	var files []*ast.File
	constants := map[string]string{} // by name: those for headers are exported, or are used in their own package only
	for _, folder := range folders {
		names, err := filepath.Glob(filepath.Join(testutil.Root(t), folder, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %d files", folder, err, len(names))
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
			ast.Inspect(file, func(n ast.Node) bool {
				if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == len(spec.Names) {
					for i, value := range spec.Values {
						if text, ok := literal(value); ok {
							constants[spec.Names[i].Name] = text
						}
					}
				}
				return true
			})
		}
	}
	read := map[string]bool{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			name := headerName(n)
			if name == nil {
				return true
			}
			text, ok := literal(name)
			if !ok {
				text = constants[lastName(name)]
			}
			if text != "" {
				read[text] = true
			}
			return true
		})
	}
	return read
}

// headerName returns the expression of the name if n reads a header: r.Header.Get(name), h.Values(name), only(h, name)
// or h[name].
func headerName(n ast.Node) ast.Expr {
	isHeader := func(x ast.Expr) bool { return slices.Contains([]string{"h", "Header", "header"}, lastName(x)) }
	switch n := n.(type) {
	case *ast.IndexExpr:
		if isHeader(n.X) {
			return n.Index
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) == 1 && (f.Sel.Name == "Get" || f.Sel.Name == "Values") && isHeader(f.X) {
			return n.Args[0]
		}
		if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "only" && len(n.Args) == 2 {
			return n.Args[1]
		}
	}
	return nil
}

// lastName returns the last part of a name such as r.Header, or "".
func lastName(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}

func literal(x ast.Expr) (string, bool) {
	l, ok := x.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}
