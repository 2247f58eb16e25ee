package main

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
)

// coverage is the set of code blocks that tests run, by file ("import/path/name.go").
type coverage map[string]map[block]bool

// block is a stretch of code, in lines and columns from 1; end is exclusive.
type block struct{ line, column, endLine, endColumn int }

// read adds a profile of `go test -coverprofile`: lines such as "import/path/name.go:3.1,5.2 2 1", where the last
// number is how often the block ran.
func (c coverage) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		colon := strings.LastIndexByte(line, ':')
		if colon < 0 {
			return fmt.Errorf("unknown line %q", line)
		}
		var b block
		var statements, times int
		if _, err := fmt.Sscanf(line[colon+1:], "%d.%d,%d.%d %d %d", &b.line, &b.column, &b.endLine, &b.endColumn, &statements, &times); err != nil {
			return fmt.Errorf("unknown line %q: %w", line, err)
		}
		file := c[line[:colon]]
		if file == nil {
			file = map[block]bool{}
			c[line[:colon]] = file
		}
		file[b] = file[b] || times > 0
	}
	return lines.Err()
}

// missed reports whether no test runs the code of the mutant. Code outside all blocks, such as a package's constants,
// is not missed. Blocks of function literals are inside other blocks; the innermost one counts.
func (c coverage) missed(m *mutant) bool {
	var innermost block
	found, ran := false, false
	for b, r := range c[path.Join(m.file.pkg.path, filepath.Base(m.file.path))] {
		if !b.contains(m.line, m.column) {
			continue
		}
		if !found || innermost.contains(b.line, b.column) {
			innermost, found, ran = b, true, r
		}
	}
	return found && !ran
}

func (b block) contains(line, column int) bool {
	return !before(line, column, b.line, b.column) && before(line, column, b.endLine, b.endColumn)
}

func before(line, column, otherLine, otherColumn int) bool {
	return line < otherLine || line == otherLine && column < otherColumn
}
