// Package sse reads server-sent events (WHATWG HTML, section 9.2): lines "event: name" and "data: text", and an empty line
// after each event. Commands read streams of the dispatcher with it.
package sse

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// Event is one event. Data has the data lines, joined by line feeds. ID is the last one that the stream has named.
type Event struct {
	Name string
	Data []byte
	ID   string
}

// Reader reads events. Its memory is limited.
type Reader struct {
	lines *bufio.Scanner
	max   int
	id    string
}

// NewReader returns a Reader of a stream whose events have at most max bytes.
func NewReader(r io.Reader, maxBytes int) *Reader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, min(maxBytes, 64<<10)), maxBytes)
	return &Reader{lines: lines, max: maxBytes}
}

// Next returns the next event that has data. The error is io.EOF at the end of the stream; an event that it cuts off is
// dropped. Lines end in LF or CRLF.
func (r *Reader) Next() (Event, error) {
	var e Event
	for r.lines.Scan() {
		line := bytes.TrimSuffix(r.lines.Bytes(), []byte("\r"))
		if len(line) == 0 {
			if e.Data != nil {
				e.ID = r.id
				return e, nil
			}
			e = Event{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.Name = string(value)
		case "id":
			r.id = string(value)
		case "data":
			if e.Data == nil {
				e.Data = make([]byte, 0, len(value))
			} else {
				e.Data = append(e.Data, '\n')
			}
			if len(e.Data)+len(value) > r.max {
				return Event{}, fmt.Errorf("an event has more than %d bytes", r.max)
			}
			e.Data = append(e.Data, value...)
		}
	}
	if err := r.lines.Err(); err != nil {
		return Event{}, fmt.Errorf("read events: %w", err)
	}
	return Event{}, io.EOF
}
