package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// A schema is a package that contains many mutants and behaves like the one whose number is in the environment. It is
// built once, whereas compiling and linking each mutant alone would take seconds. An expression becomes a choice,
//
//	a < b    func() bool { if mutantsActive == 7 { return a >= b }; return a < b }()
//
// and so does a statement:
//
//	f()      if mutantsActive == 8 { if false { f() } } else { f() }
//
// Constants of the language cannot be choices, nor expressions whose type cannot be named in the file: such mutants
// are built alone.
type schema struct {
	pkg     *source
	numbers map[*mutant]int   // from 1; mutants that are built alone have none
	files   map[string][]byte // by path
}

// activeVariable is the environment variable, and switchFile the file that reads it.
const (
	activeVariable = "MUTANTS_ACTIVE"
	switchFile     = "zz_mutants_active.go"
)

// newSchema puts as many of the mutants as possible into their package.
func newSchema(pkg *source, mutants []*mutant) (*schema, error) {
	sites := map[ast.Node]*site{}
	for _, m := range mutants {
		n, typ := m.host()
		if n == nil {
			continue
		}
		if sites[n] == nil {
			sites[n] = &site{node: n, file: m.file, typ: typ}
		}
		sites[n].mutants = append(sites[n].mutants, m)
	}
	// Choices that do not compile are removed until the package compiles.
	for range 20 {
		s := &schema{pkg: pkg, numbers: map[*mutant]int{}, files: map[string][]byte{}}
		wrong, err := s.render(sites)
		if err != nil {
			return nil, err
		}
		if len(wrong) == 0 {
			return s, nil
		}
		for _, n := range wrong {
			delete(sites, n)
		}
	}
	return nil, errors.New("it does not compile with many mutants in it")
}

// site is an expression or statement with its mutants.
type site struct {
	node       ast.Node
	file       *sourceFile
	typ        string // of an expression
	mutants    []*mutant
	start, end int // in the rendered file
}

// host returns the smallest expression with a value, or statement, that contains the mutant, and the expression's
// type. It returns nil if no choice is possible.
func (m *mutant) host() (ast.Node, string) {
	var path []ast.Node // from the file inward
	file := m.file.pkg.tree.fset.File(m.file.ast.FileStart)
	start, end := file.Pos(m.start), file.Pos(m.end)
	ast.Inspect(m.file.ast, func(n ast.Node) bool {
		if n == nil || n.Pos() > start || n.End() < end {
			return false
		}
		path = append(path, n)
		return true
	})
	for i, n := range path {
		switch n := n.(type) {
		case *ast.GenDecl:
			if n.Tok == token.CONST {
				return nil, ""
			}
		case *ast.ArrayType:
			if i+1 < len(path) && path[i+1] == n.Len {
				return nil, ""
			}
		}
	}
	wantsStatement := m.text == "nil" || strings.HasPrefix(m.text, "if false ")
	for _, n := range slices.Backward(path) {
		switch n := n.(type) {
		case ast.Stmt:
			switch n.(type) {
			case *ast.ExprStmt, *ast.AssignStmt, *ast.IncDecStmt, *ast.ReturnStmt, *ast.BranchStmt, *ast.SendStmt, *ast.DeferStmt, *ast.GoStmt:
				return n, ""
			}
			return nil, ""
		case ast.Expr:
			tv, known := m.file.pkg.info.Types[n]
			if wantsStatement || !known || !tv.IsValue() || isUntypedNumber(tv.Type) {
				continue // to the parent: a constant expression gets its type as a whole
			}
			typ, ok := m.file.nameOf(types.Default(tv.Type))
			if !ok {
				return nil, ""
			}
			return n, typ
		}
	}
	return nil, ""
}

func isUntypedNumber(t types.Type) bool {
	b, ok := t.(*types.Basic)
	return ok && b.Info()&types.IsUntyped != 0 && b.Info()&types.IsNumeric != 0
}

// nameOf returns a type as written in the file; false if the file does not import a package that the name needs.
func (f *sourceFile) nameOf(t types.Type) (name string, ok bool) {
	imported := map[string]string{}
	for _, spec := range f.ast.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		imported[path] = ""
		if spec.Name != nil {
			imported[path] = spec.Name.Name
		}
	}
	ok = true
	name = types.TypeString(t, func(p *types.Package) string {
		if p.Path() == f.pkg.path {
			return ""
		}
		as, there := imported[p.Path()]
		ok = ok && there
		if as != "" {
			return as
		}
		return p.Name()
	})
	return name, ok
}

// render writes the files and type-checks them. It returns the sites that do not compile.
func (s *schema) render(sites map[ast.Node]*site) ([]ast.Node, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, f := range s.pkg.files {
		var here []*site
		for _, one := range sites {
			if one.file == f {
				here = append(here, one)
			}
		}
		slices.SortFunc(here, outermostFirst)
		text := f.text
		if len(here) > 0 {
			text = (&renderer{schema: s, file: f, sites: here, heads: f.heads()}).all()
			s.files[f.path] = text
		}
		parsed, err := parser.ParseFile(fset, f.path, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse %s with its mutants: %w", f.rel, err)
		}
		files = append(files, parsed)
	}
	reader := switchText(files[0].Name.Name)
	parsed, err := parser.ParseFile(fset, switchFile, reader, 0)
	if err != nil {
		return nil, err
	}
	var problems []types.Error
	err = s.pkg.checkAll(fset, append(files, parsed), func(err types.Error) { problems = append(problems, err) })
	wrong := map[ast.Node]bool{}
	for _, p := range problems {
		at := fset.Position(p.Pos)
		if n := innermost(sites, at.Filename, at.Offset); n != nil {
			wrong[n] = true
		} else {
			return nil, p
		}
	}
	if len(wrong) == 0 && err != nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(wrong)), nil
}

// outermostFirst orders sites by position, outer sites first.
func outermostFirst(a, b *site) int {
	if a.node.Pos() != b.node.Pos() {
		return int(a.node.Pos() - b.node.Pos())
	}
	if a.node.End() != b.node.End() {
		return int(b.node.End() - a.node.End())
	}
	if _, ok := a.node.(ast.Stmt); ok {
		return -1
	}
	return 1
}

func innermost(sites map[ast.Node]*site, path string, offset int) ast.Node {
	var best *site
	for _, one := range sites {
		if one.file.path == path && one.start <= offset && offset < one.end && (best == nil || one.end-one.start < best.end-best.start) {
			best = one
		}
	}
	if best == nil {
		return nil
	}
	return best.node
}

// switchText is the additional file of every schema.
func switchText(pkg string) string {
	return "package " + pkg + "\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar mutantsActive, _ = strconv.Atoi(os.Getenv(\"" + activeVariable + "\"))\n"
}

// renderer writes one file with its sites.
type renderer struct {
	schema *schema
	file   *sourceFile
	sites  []*site // those not yet written, outermost first
	heads  map[ast.Node]bool
	out    strings.Builder
}

func (r *renderer) all() []byte {
	r.text(0, len(r.file.text))
	return []byte(r.out.String())
}

// text writes the original text between two offsets, with the sites in it.
func (r *renderer) text(from, to int) {
	for len(r.sites) > 0 {
		one := r.sites[0]
		start, end := r.file.offsets(one.node)
		if start >= to || end > to {
			break
		}
		r.sites = r.sites[1:]
		r.out.Write(r.file.text[from:start])
		r.site(one, start, end)
		from = end
	}
	r.out.Write(r.file.text[from:to])
}

// site writes a choice.
func (r *renderer) site(one *site, start, end int) {
	one.start = r.out.Len()
	changed := func(m *mutant) string {
		return string(r.file.text[start:m.start]) + m.text + string(r.file.text[m.end:end])
	}
	number := func(m *mutant) int {
		n := len(r.schema.numbers) + 1
		r.schema.numbers[m] = n
		return n
	}
	if _, ok := one.node.(ast.Expr); ok {
		fmt.Fprintf(&r.out, "func() %s { ", one.typ)
		for _, m := range one.mutants {
			fmt.Fprintf(&r.out, "if mutantsActive == %d { return %s }; ", number(m), changed(m))
		}
		r.out.WriteString("return ")
		r.text(start, end)
		r.out.WriteString(" }()")
	} else {
		head := r.heads[one.node]
		if head { // of an if, for or switch, where only a simple statement is allowed
			r.out.WriteString("func() { ")
		}
		for _, m := range one.mutants {
			fmt.Fprintf(&r.out, "if mutantsActive == %d { %s } else ", number(m), changed(m))
		}
		r.out.WriteString("{ ")
		r.text(start, end)
		r.out.WriteString(" }")
		if head {
			r.out.WriteString(" }()")
		}
	}
	one.end = r.out.Len()
}

// heads returns the statements in the head of another one.
func (f *sourceFile) heads() map[ast.Node]bool {
	heads := map[ast.Node]bool{}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			heads[n.Init] = true
		case *ast.ForStmt:
			heads[n.Init], heads[n.Post] = true, true
		case *ast.SwitchStmt:
			heads[n.Init] = true
		case *ast.TypeSwitchStmt:
			heads[n.Init], heads[n.Assign] = true, true
		}
		return true
	})
	return heads
}

func (f *sourceFile) offsets(n ast.Node) (start, end int) {
	file := f.pkg.tree.fset.File(f.ast.FileStart)
	return file.Offset(n.Pos()), file.Offset(n.End())
}
