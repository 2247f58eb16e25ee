package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// find returns the mutants of a file, in order. Generated files have none.
func find(file *sourceFile) []*mutant {
	if ast.IsGenerated(file.ast) {
		return nil
	}
	f := &finder{file: file, info: file.pkg.info, hints: map[ast.Node]bool{}}
	ast.PreorderStack(file.ast, nil, f.visit)
	slices.SortStableFunc(f.found, func(a, b *mutant) int { return a.start - b.start })
	return f.found
}

// finder walks one file.
type finder struct {
	file  *sourceFile
	info  *types.Info
	found []*mutant
	hints map[ast.Node]bool // sizes that only set the initial capacity
}

// visit adds the mutants of a node, and reports whether to visit its children.
func (f *finder) visit(n ast.Node, stack []ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok != token.IMPORT
	case *ast.CompositeLit:
		return !f.describesMetric(n)
	case *ast.CallExpr:
		return f.call(n)
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.UnaryExpr:
		if n.Op == token.NOT || n.Op == token.SUB {
			f.replace(n, f.file.code(n.X))
		}
	case *ast.BasicLit:
		if !f.hints[n] {
			f.constant(n, stack)
		}
	case *ast.SelectorExpr:
		f.duration(n, stack)
	case *ast.Ident:
		f.truth(n, stack)
	case *ast.IfStmt:
		f.negate(n.Cond)
	case *ast.ForStmt:
		f.negate(n.Cond)
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, c := range n.Body.List {
				f.negateAll(c.(*ast.CaseClause).List)
			}
		}
	case *ast.ReturnStmt:
		f.returned(n, stack)
	default:
		if stmt, ok := n.(ast.Stmt); ok {
			f.statement(stmt, stack)
		}
	}
	return true
}

// replace adds a mutant with other text in place of a node.
func (f *finder) replace(n ast.Node, text string) { f.replaceIn(n, n, text) }

// replaceIn does the same, and shows the change in its context: "2*time.Second -> 3*time.Second".
func (f *finder) replaceIn(around, n ast.Node, text string) {
	code, from, to := f.file.code(around), int(n.Pos()-around.Pos()), int(n.End()-around.Pos())
	f.found = append(f.found, f.file.newMutant(n.Pos(), n.End(), text, short(code)+" -> "+short(code[:from]+text+code[to:])))
}

// around returns the expression that contains a node, or else the node.
func around(n ast.Node, stack []ast.Node) ast.Node {
	switch parent := stack[len(stack)-1].(type) {
	case *ast.CompositeLit, *ast.FuncLit:
	case ast.Expr:
		return parent
	}
	return n
}

// Operators and their replacements: the opposite first, then the neighbor.
var otherOperators = map[token.Token][]token.Token{
	token.LSS: {token.GEQ, token.LEQ},
	token.GTR: {token.LEQ, token.GEQ},
	token.LEQ: {token.GTR, token.LSS},
	token.GEQ: {token.LSS, token.GTR},
	token.EQL: {token.NEQ},
	token.NEQ: {token.EQL},

	token.ADD: {token.SUB},
	token.SUB: {token.ADD},
	token.MUL: {token.QUO},
	token.QUO: {token.MUL},
	token.REM: {token.MUL},
	token.AND: {token.OR},
	token.OR:  {token.AND},
	token.SHL: {token.SHR},
	token.SHR: {token.SHL},

	token.LAND: {token.LOR},
	token.LOR:  {token.LAND},

	token.ADD_ASSIGN: {token.SUB_ASSIGN},
	token.SUB_ASSIGN: {token.ADD_ASSIGN},
	token.MUL_ASSIGN: {token.QUO_ASSIGN},
	token.QUO_ASSIGN: {token.MUL_ASSIGN},
	token.INC:        {token.DEC},
	token.DEC:        {token.INC},
}

// operator adds the mutants of an operator in n.
func (f *finder) operator(n ast.Node, pos token.Pos, op token.Token) {
	for _, other := range otherOperators[op] {
		f.replaceIn(n, operatorAt{pos, op}, other.String())
	}
}

// operatorAt is an operator as a node.
type operatorAt struct {
	pos token.Pos
	op  token.Token
}

func (o operatorAt) Pos() token.Pos { return o.pos }
func (o operatorAt) End() token.Pos { return o.pos + token.Pos(len(o.op.String())) }

func (f *finder) binary(n *ast.BinaryExpr) {
	switch constant := f.info.Types[n].Value != nil; {
	case n.Op == token.ADD && isString(f.info.TypeOf(n)):
		return
	case constant && slices.Contains([]token.Token{token.MUL, token.QUO, token.SHL, token.SHR}, n.Op):
		return // 2*time.Second, 1<<20: the numbers are changed instead
	}
	f.operator(n, n.OpPos, n.Op)
	if n.Op == token.LAND || n.Op == token.LOR {
		f.negate(n.X)
		f.negate(n.Y)
	}
}

func isString(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}

// negate negates a condition without operators; operators have their own mutants.
func (f *finder) negate(cond ast.Expr) {
	switch cond := cond.(type) {
	case *ast.ParenExpr:
		f.negate(cond.X)
	case *ast.Ident:
		if cond.Name != "true" && cond.Name != "false" {
			f.replace(cond, "!"+f.file.code(cond))
		}
	case *ast.CallExpr, *ast.SelectorExpr, *ast.IndexExpr, *ast.TypeAssertExpr, *ast.StarExpr:
		f.replace(cond, "!"+f.file.code(cond))
	}
}

func (f *finder) negateAll(conds []ast.Expr) {
	for _, c := range conds {
		f.negate(c)
	}
}

// constant changes a number by one, doubles it, and sets it to 0.
func (f *finder) constant(n *ast.BasicLit, stack []ast.Node) {
	in := around(n, stack)
	switch n.Kind {
	case token.INT:
		v, err := strconv.ParseInt(n.Value, 0, 64)
		if err != nil || v > 1<<61 {
			return
		}
		done := map[int64]bool{v: true}
		for _, other := range []int64{v + 1, 2 * v, 0} {
			if !done[other] {
				f.replaceIn(in, n, strconv.FormatInt(other, 10))
			}
			done[other] = true
		}
	case token.FLOAT:
		v, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || v == 0 {
			return
		}
		text := strconv.FormatFloat(2*v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		f.replaceIn(in, n, text)
		f.replaceIn(in, n, "0.0")
	}
}

// duration doubles a unit of time without a factor, and sets it to 0. If there is a factor, the factor is changed
// instead.
func (f *finder) duration(n *ast.SelectorExpr, stack []ast.Node) {
	c, ok := f.info.Uses[n.Sel].(*types.Const)
	if !ok || c.Pkg() == nil || c.Pkg().Path() != "time" || types.TypeString(c.Type(), nil) != "time.Duration" {
		return
	}
	switch parent := stack[len(stack)-1].(type) {
	case *ast.BinaryExpr:
		if parent.Op == token.MUL || parent.Op == token.QUO {
			return
		}
	case *ast.CallExpr: // float64(time.Second) is a conversion; f(time.Second) is not
		if f.info.Types[parent.Fun].IsType() {
			return
		}
	}
	in := around(n, stack)
	f.replaceIn(in, n, "2*"+f.file.code(n))
	f.replaceIn(in, n, "0")
}

// truth exchanges true and false, except where deleting the assignment has the same effect.
func (f *finder) truth(n *ast.Ident, stack []ast.Node) {
	if _, assigned := stack[len(stack)-1].(*ast.AssignStmt); assigned {
		return
	}
	if obj := f.info.Uses[n]; obj == nil || obj.Parent() != types.Universe {
		return
	}
	switch n.Name {
	case "true":
		f.replaceIn(around(n, stack), n, "false")
	case "false":
		f.replaceIn(around(n, stack), n, "true")
	}
}
