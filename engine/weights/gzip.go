package weights

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// gzipMagic is how gzipped files begin (RFC 1952, section 2.3.1).
var gzipMagic = []byte{0x1f, 0x8b}

// maxInMemory bounds in bytes what is unpacked to memory.
const maxInMemory = 256 << 20

// gunzip unpacks a file to a temporary one, which is gone with the mapping, or to memory where the system has no folder
// for it, as in a container with a read-only root; then at most maxInMemory. It reads in to its end. Broken check sums and files that unpack to more
// than limit bytes are errors.
func gunzip(in io.Reader, limit int64) (*mapping, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	unpacked := &limited{z, limit}
	f, err := os.CreateTemp("", "resnet18-weights-*")
	if err != nil {
		unpacked.left = min(limit, maxInMemory)
		var b bytes.Buffer
		_, copyErr := io.Copy(&b, unpacked)
		if errors.Is(copyErr, errTooLarge) && limit > maxInMemory {
			return nil, fmt.Errorf("%w; up to %d bytes would do with a folder for temporary files: %w", copyErr, limit, err)
		}
		return &mapping{data: b.Bytes()}, gzipError(copyErr)
	}
	// Where open files can be removed, nothing is left behind even by a crash; elsewhere the second call does it.
	_ = os.Remove(f.Name())
	defer func() { _ = os.Remove(f.Name()) }()
	defer f.Close()
	n, err := io.Copy(f, unpacked)
	if err != nil {
		return nil, gzipError(err)
	}
	if n == 0 {
		return nil, errors.New("gzip: unpacks to nothing")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return mapFile(f, int(n))
}

func gzipError(err error) error {
	var disk *os.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &disk):
		return fmt.Errorf("unpack to a temporary file (TMPDIR says where): %w", err)
	case errors.Is(err, errTooLarge):
		return err
	}
	return fmt.Errorf("gzip (is the file truncated?): %w", err)
}

// limited reads at most left bytes; more are an error.
type limited struct {
	r    io.Reader
	left int64
}

var errTooLarge = errors.New("gzip: unpacks to more bytes than a weight file may have")

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
