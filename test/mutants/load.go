package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// source is one package to mutate, parsed and type-checked.
type source struct {
	path  string // import path
	rel   string // folder in the module, with slashes; "." for the root
	files []*sourceFile
	info  *types.Info
	tree  *tree
}

// sourceFile is one file of a package that may be mutated.
type sourceFile struct {
	pkg  *source
	path string // on disk
	rel  string // in the module, with slashes
	text []byte
	ast  *ast.File
}

// tree is the state shared by all packages.
type tree struct {
	root string // the module's folder
	fset *token.FileSet

	mu       sync.Mutex // types of imported packages are completed while they are used
	importer types.Importer
}

// load lists, parses and type-checks the packages that match the patterns.
func load(ctx context.Context, patterns []string) (*tree, []*source, error) {
	// a schema needs os and strconv in any case
	out, err := goCommand(ctx, append([]string{"list", "-export", "-deps",
		"-json=ImportPath,Dir,Export,DepOnly,Standard,GoFiles,Module", "os", "strconv"}, patterns...)...)
	if err != nil {
		return nil, nil, err
	}
	type listed struct {
		ImportPath, Dir, Export string
		DepOnly, Standard       bool
		GoFiles                 []string
		Module                  *struct{ Path, Dir string }
	}
	exports := map[string]string{}
	var roots []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, fmt.Errorf("read what go list says: %w", err)
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly && p.Module != nil {
			roots = append(roots, p)
		}
	}
	if len(roots) == 0 {
		return nil, nil, fmt.Errorf("no package of a module matches %s", strings.Join(patterns, " "))
	}
	t := &tree{root: roots[0].Module.Dir, fset: token.NewFileSet()}
	t.importer = importer.ForCompiler(t.fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
	var pkgs []*source
	for _, p := range roots {
		rel, err := filepath.Rel(t.root, p.Dir)
		if err != nil {
			return nil, nil, err
		}
		s := &source{path: p.ImportPath, rel: filepath.ToSlash(rel), tree: t}
		for _, name := range p.GoFiles {
			if err := s.parse(filepath.Join(p.Dir, name)); err != nil {
				return nil, nil, err
			}
		}
		s.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
		if err := s.check(s.syntax(), s.info); err != nil {
			return nil, nil, fmt.Errorf("check types of %s: %w", s.path, err)
		}
		pkgs = append(pkgs, s)
	}
	return t, pkgs, nil
}

func (s *source) parse(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(s.tree.fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(s.tree.root, path)
	if err != nil {
		return err
	}
	s.files = append(s.files, &sourceFile{pkg: s, path: path, rel: filepath.ToSlash(rel), text: text, ast: file})
	return nil
}

func (s *source) syntax() []*ast.File {
	files := make([]*ast.File, len(s.files))
	for i, f := range s.files {
		files[i] = f.ast
	}
	return files
}

func (s *source) check(files []*ast.File, info *types.Info) error {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	cfg := types.Config{Importer: s.tree.importer}
	_, err := cfg.Check(s.path, s.tree.fset, files, info)
	return err
}

// checkAll type-checks other files, and returns all errors.
func (s *source) checkAll(fset *token.FileSet, files []*ast.File, tell func(types.Error)) error {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	cfg := types.Config{Importer: s.tree.importer, Error: func(err error) {
		if err, ok := errors.AsType[types.Error](err); ok {
			tell(err)
		}
	}}
	_, err := cfg.Check(s.path, fset, files, nil)
	return err
}

// compiles reports whether the package type-checks with the mutant. It is much faster than the compiler, and agrees
// with it except for errors that only the compiler or the tests' own files report.
func (m *mutant) compiles() bool {
	s := m.file.pkg
	broken, err := parser.ParseFile(token.NewFileSet(), m.file.path, m.apply(), parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	files := s.syntax()
	files[slices.Index(s.files, m.file)] = broken
	return s.check(files, nil) == nil
}

// goCommand runs the go command and returns its output.
func goCommand(ctx context.Context, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.Bytes())
	}
	return out, nil
}
