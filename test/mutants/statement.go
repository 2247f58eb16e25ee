package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// statement adds the mutants of a statement: deleted, or with its operator changed.
func (f *finder) statement(n ast.Stmt, stack []ast.Node) {
	switch parent := stack[len(stack)-1].(type) {
	case *ast.BlockStmt, *ast.CaseClause, *ast.LabeledStmt:
	case *ast.CommClause:
		if n == parent.Comm {
			return
		}
	default: // in the head of an if, for or switch only operators can change
		if assign, ok := n.(*ast.AssignStmt); ok && assign.Tok == token.ASSIGN {
			return
		}
	}
	switch n := n.(type) {
	case *ast.ExprStmt:
		if call, ok := n.X.(*ast.CallExpr); !ok || !f.locks(call) && !f.onlySays(call) {
			f.remove(n)
		}
	case *ast.DeferStmt:
		if !f.locks(n.Call) && !f.onlyReleases(n.Call) {
			f.remove(n)
		}
	case *ast.GoStmt, *ast.SendStmt:
		f.remove(n)
	case *ast.BranchStmt:
		if n.Tok != token.FALLTHROUGH {
			f.remove(n)
		}
	case *ast.IncDecStmt:
		f.operator(n, n.TokPos, n.Tok)
	case *ast.AssignStmt:
		switch {
		case n.Tok == token.DEFINE:
		case n.Tok == token.ASSIGN:
			if !slices.ContainsFunc(n.Lhs, isBlank) {
				f.remove(n)
			}
		case n.Tok == token.ADD_ASSIGN && isString(f.info.TypeOf(n.Lhs[0])):
			f.remove(n)
		default:
			f.operator(n, n.TokPos, n.Tok)
		}
	}
}

func isBlank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "_"
}

// remove adds a mutant without the statement. What the statement uses stays used, so that it compiles.
func (f *finder) remove(n ast.Stmt) {
	code := f.file.code(n)
	f.found = append(f.found, f.file.newMutant(n.Pos(), n.End(), "if false { "+code+" }", "without "+short(code)))
}

// returned adds the mutants of a return: an error is dropped, a bool is negated, an early return is removed.
func (f *finder) returned(n *ast.ReturnStmt, stack []ast.Node) {
	if len(n.Results) == 0 {
		if body, ok := stack[len(stack)-1].(*ast.BlockStmt); !ok || len(stack) < 2 || !isFunction(stack[len(stack)-2]) || body.List[len(body.List)-1] != n {
			f.remove(n)
		}
		return
	}
	for _, result := range n.Results {
		t := f.info.TypeOf(result)
		switch {
		case t == nil:
		case types.Identical(t.Underlying(), types.Typ[types.Bool]):
			f.negate(result)
		case f.isError(result) && f.wantsError(stack):
			f.replace(result, "nil")
		}
	}
}

func isFunction(n ast.Node) bool {
	switch n.(type) {
	case *ast.FuncDecl, *ast.FuncLit:
		return true
	}
	return false
}

var errorType = types.Universe.Lookup("error").Type().Underlying().(*types.Interface)

// isError reports whether an expression is an error other than nil.
func (f *finder) isError(e ast.Expr) bool {
	t := f.info.TypeOf(e)
	return types.Implements(t, errorType) && !types.Identical(t, types.Typ[types.UntypedNil])
}

// wantsError reports whether the innermost function's last result is an error; other functions may return errors as
// values.
func (f *finder) wantsError(stack []ast.Node) bool {
	for _, n := range slices.Backward(stack) {
		var t *ast.FuncType
		switch n := n.(type) {
		case *ast.FuncDecl:
			t = n.Type
		case *ast.FuncLit:
			t = n.Type
		default:
			continue
		}
		if t.Results == nil {
			return false
		}
		last := f.info.TypeOf(t.Results.List[len(t.Results.List)-1].Type)
		return types.Identical(last, types.Universe.Lookup("error").Type())
	}
	return false
}

// call adds the mutants of a call, and reports whether to visit its children.
func (f *finder) call(n *ast.CallExpr) bool {
	if f.onlySays(n) {
		return false
	}
	id, ok := n.Fun.(*ast.Ident)
	if !ok {
		return true
	}
	if _, ok := f.info.Uses[id].(*types.Builtin); !ok {
		return true
	}
	switch id.Name {
	case "min":
		f.rename(n, id, "max")
	case "max":
		f.rename(n, id, "min")
	case "make":
		_, isMap := f.info.TypeOf(n).Underlying().(*types.Map)
		if isMap && len(n.Args) == 2 || len(n.Args) == 3 {
			f.hints[n.Args[len(n.Args)-1]] = true
		}
	case "panic":
		return false
	}
	return true
}

func (f *finder) rename(n *ast.CallExpr, id *ast.Ident, name string) {
	f.replaceIn(n, id, name)
}

// called returns the function or method that is called; nil for others, such as a variable's value.
func (f *finder) called(n *ast.CallExpr) *types.Func {
	switch fun := ast.Unparen(n.Fun).(type) {
	case *ast.Ident:
		fn, _ := f.info.Uses[fun].(*types.Func)
		return fn
	case *ast.SelectorExpr:
		fn, _ := f.info.Uses[fun.Sel].(*types.Func)
		return fn
	}
	return nil
}

// onlySays reports whether a call only produces text for people: a log message, an error text, a panic, the buckets
// of a histogram.
func (f *finder) onlySays(n *ast.CallExpr) bool {
	if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "panic" {
		return true
	}
	fn := f.called(n)
	if fn == nil || fn.Pkg() == nil {
		return false
	}
	switch fn.Pkg().Path() {
	case "log", "log/slog", "errors":
		return fn.Pkg().Path() != "errors" || fn.Name() == "New"
	case "fmt":
		return fn.Name() == "Errorf"
	case "github.com/prometheus/client_golang/prometheus":
		return strings.HasSuffix(fn.Name(), "Buckets") || strings.HasSuffix(fn.Name(), "BucketsRange")
	}
	return false
}

// describesMetric reports whether a literal is a metric's name, help and buckets.
func (f *finder) describesMetric(n *ast.CompositeLit) bool {
	t, ok := f.info.TypeOf(n).(*types.Named)
	return ok && t.Obj().Pkg() != nil && t.Obj().Pkg().Path() == "github.com/prometheus/client_golang/prometheus" &&
		strings.HasSuffix(t.Obj().Name(), "Opts")
}

// locks reports whether a call locks or unlocks: the race detector tests that.
func (f *finder) locks(n *ast.CallExpr) bool {
	fn := f.called(n)
	return fn != nil && fn.Pkg() != nil && fn.Pkg().Path() == "sync" &&
		slices.Contains([]string{"Lock", "Unlock", "RLock", "RUnlock"}, fn.Name())
}

// onlyReleases reports whether a deferred call releases something that would otherwise only be held too long: a file,
// a timer, a context.
func (f *finder) onlyReleases(n *ast.CallExpr) bool {
	if t := f.info.TypeOf(n.Fun); t != nil && types.TypeString(t, nil) == "context.CancelFunc" {
		return true
	}
	fn := f.called(n)
	return fn != nil && slices.Contains([]string{"Close", "Stop", "CloseIdleConnections"}, fn.Name())
}
