package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"strings"
)

// mutant is one change: the bytes from start to end of a file are replaced.
type mutant struct {
	file       *sourceFile
	line       int
	column     int
	start, end int
	text       string // replacement
	change     string // short form: "a < b -> a <= b"
	source     string // the line, without indentation and comments
}

// key identifies a mutant by its change, so that it stays the same when lines move.
type key struct{ file, source, change string }

func (m *mutant) key() key { return key{m.file.rel, m.source, m.change} }

// at returns the position of the mutant, as compilers print it.
func (m *mutant) at() string { return fmt.Sprintf("%s:%d", m.file.rel, m.line) }

// apply returns the mutated file.
func (m *mutant) apply() []byte {
	return bytes.Join([][]byte{m.file.text[:m.start], m.file.text[m.end:]}, []byte(m.text))
}

// newMutant replaces the text between two positions.
func (s *sourceFile) newMutant(from, to token.Pos, text, change string) *mutant {
	at := s.pkg.tree.fset.Position(from)
	end := s.pkg.tree.fset.Position(to)
	return &mutant{file: s, line: at.Line, column: at.Column, start: at.Offset, end: end.Offset,
		text: text, change: change, source: s.codeOfLine(at.Offset)}
}

// codeOfLine returns the line at an offset without its comments, with single spaces.
func (s *sourceFile) codeOfLine(offset int) string {
	from := bytes.LastIndexByte(s.text[:offset], '\n') + 1
	to := len(s.text)
	if n := bytes.IndexByte(s.text[offset:], '\n'); n >= 0 {
		to = offset + n
	}
	file := s.pkg.tree.fset.File(s.ast.FileStart)
	var code []byte
	next := from
	for _, group := range s.ast.Comments {
		for _, c := range group.List {
			begin, end := file.Offset(c.Pos()), min(file.Offset(c.End()), to)
			if begin < next || begin >= to {
				continue
			}
			code, next = append(code, s.text[next:begin]...), end
		}
	}
	return short(string(append(code, s.text[next:to]...)))
}

// short puts text on one line.
func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 160 {
		return string(runes[:159]) + "…"
	}
	return text
}

// code returns the text of a node.
func (s *sourceFile) code(n ast.Node) string {
	fset := s.pkg.tree.fset
	return string(s.text[fset.Position(n.Pos()).Offset:fset.Position(n.End()).Offset])
}
