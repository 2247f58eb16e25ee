// Package zipdir opens zip files in memory whose authors are not trusted. Packages pth and detect are its callers.
package zipdir

import (
	"archive/zip"
	"fmt"
	"io"
)

// MaxBytes bounds a zip file's directory, of which archive/zip makes up to eight times as much in memory. A checkpoint with an
// optimizer has 400 entries of 80 bytes.
const MaxBytes = 4 << 20

// Open reads the directory of a zip file. Entries share data's memory.
func Open(data []byte) (*zip.Reader, error) {
	in := &reader{data: data, left: MaxBytes}
	archive, err := zip.NewReader(in, int64(len(data)))
	in.parsed = true
	return archive, err
}

// reader reads data, at most left bytes while the directory is parsed: archive/zip goes on while it finds entries, whatever the
// file says of their number.
type reader struct {
	data   []byte
	left   int
	parsed bool
}

func (r *reader) ReadAt(p []byte, at int64) (int, error) {
	if !r.parsed {
		if r.left -= len(p); r.left < 0 {
			return 0, fmt.Errorf("more than %d bytes", MaxBytes)
		}
	}
	if at < 0 || at >= int64(len(r.data)) {
		return 0, io.EOF
	}
	n := copy(p, r.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
