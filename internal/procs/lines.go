package procs

import (
	"bytes"
	"io"
)

// maxLineBytes limits the memory for a line without an end; longer lines are split.
const maxLineBytes = 64 << 10

// lineWriter writes whole lines, with one Write each, so that the lines of several processes do not mix. It is not
// safe for concurrent use.
type lineWriter struct {
	w      io.Writer
	prefix string
	line   []byte // prefix and text since the last newline; empty at the start of a line
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

// flush writes a partial line, if any.
func (l *lineWriter) flush() {
	if len(l.line) == 0 {
		return
	}
	_, _ = l.w.Write(append(l.line, '\n'))
	l.line = l.line[:0]
}
