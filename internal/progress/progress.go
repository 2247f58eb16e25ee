// Package progress says how fast something that takes a while goes, and how long it will take, beside a bar or a count. Commands
// use it; it draws nothing itself.
package progress

import (
	"fmt"
	"time"
)

// Meter measures speed since its first use. The zero value is ready. It is not safe for concurrent use.
type Meter struct {
	start time.Time
	first int64 // what was done at the start, such as the part of a download that was there
}

// minimum is the time after which a speed says something.
const minimum = time.Second

// Text is what follows a count: ", 3.2 MiB/s, 10s left". It is empty in the first second. unit names what is counted, and
// scale is how much of it is one unit, such as 1<<20 for MiB of bytes. Without a total, 0 or less, no time is left.
func (m *Meter) Text(now time.Time, done, total int64, unit string, scale float64) string {
	if m.start.IsZero() || done < m.first {
		m.start, m.first = now, done
	}
	return text(now.Sub(m.start), done-m.first, total-done, unit, scale)
}

// text is Text, after some time in which something was done.
func text(elapsed time.Duration, done, left int64, unit string, scale float64) string {
	if elapsed < minimum || done <= 0 {
		return ""
	}
	perSecond := float64(done) / elapsed.Seconds()
	s := fmt.Sprintf(", %.1f%s/s", perSecond/scale, unit)
	if left <= 0 {
		return s
	}
	return s + ", " + time.Duration(float64(left)/perSecond*float64(time.Second)).Round(time.Second).String() + " left"
}
