package procs

import (
	"bytes"
	"io"
)

// maxLineBytes bounds the memory for a line without an end; longer ones are cut in pieces.
const maxLineBytes = 64 << 10

// lineWriter passes whole lines on, one Write each, so that the lines of several processes do not mix. Not
// for concurrent use.
type lineWriter struct {
	w      io.Writer
	prefix string
	line   []byte // prefix and what came since the last newline; empty at the start of a line
}

// Write never fails: a child must not get SIGPIPE because the parent's own output is closed.
func (l *lineWriter) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		piece, after, whole := bytes.Cut(rest, []byte("\n"))
		if len(l.line) == 0 {
			l.line = append(l.line, l.prefix...)
		}
		l.line = append(l.line, piece...)
		rest = after
		if whole || len(l.line) > maxLineBytes {
			l.flush()
		}
	}
	return len(data), nil
}

// flush ends the line that has been begun, if any.
func (l *lineWriter) flush() {
	if len(l.line) == 0 {
		return
	}
	_, _ = l.w.Write(append(l.line, '\n'))
	l.line = l.line[:0]
}
