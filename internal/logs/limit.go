package logs

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// Burst is how many lines Limited passes on at once.
const Burst = 20

// Limited passes lines on to a terminal that somebody reads: after a burst, at most one a second. Lines with level=WARN or
// level=ERROR always pass. The next line that passes says how many were left out. Each Write is one line. Methods are safe for
// concurrent use.
type Limited struct {
	W io.Writer

	mu      sync.Mutex // guards the fields below
	last    time.Time
	tokens  float64
	started bool
	left    int
}

// Write implements io.Writer. It reports all bytes as written, also of a line that it leaves out.
func (l *Limited) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.started {
		l.started, l.tokens = true, Burst
	} else {
		l.tokens = min(Burst, l.tokens+now.Sub(l.last).Seconds())
	}
	l.last = now
	important := bytes.Contains(line, []byte("level=WARN")) || bytes.Contains(line, []byte("level=ERROR"))
	if l.tokens < 1 && !important {
		l.left++
		return len(line), nil
	}
	l.tokens = max(0, l.tokens-1)
	if l.left > 0 {
		if _, err := fmt.Fprintf(l.W, "(%d lines left out; --log-level debug prints all)\n", l.left); err != nil {
			return 0, err
		}
		l.left = 0
	}
	return l.W.Write(line)
}
