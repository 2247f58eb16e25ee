package weights

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// mapping is a file's bytes in memory: the file itself where the system can map it, so that processes share
// its pages and what nobody reads takes none, else a copy.
type mapping struct {
	data   []byte
	mapped bool
	sha256 string     // hex digest of the file as stored, which data is not if it was gzipped
	beside []*mapping // files that belong to it
	total  int        // bytes in beside
}

// open maps a file, unpacked if it is gzipped. It checks the size before it takes memory.
func open(path string) (*mapping, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // to open a pipe would wait for its writer
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mapOpen(f)
}

// mapOpen maps an open file, which may be closed then.
func mapOpen(f *os.File) (*mapping, error) {
	path := f.Name()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > MaxBytes:
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", path, info.Size(), MaxBytes)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty", path)
	}
	sum := sha256.New()
	m, err := mapHashed(f, sum, int(info.Size()))
	if err != nil {
		return nil, err
	}
	m.sha256 = hex.EncodeToString(sum.Sum(nil))
	return m, nil
}

// mapHashed maps f, unpacked if it is gzipped, and hashes it as stored. It hashes what it reads instead of what it maps: pages of
// an optimizer's state, which nobody needs, would become the process's.
func mapHashed(f *os.File, sum hash.Hash, size int) (*mapping, error) {
	begin := make([]byte, len(gzipMagic))
	if _, err := f.ReadAt(begin, 0); err == nil && bytes.Equal(begin, gzipMagic) {
		return gunzip(bufio.NewReaderSize(io.TeeReader(f, sum), 64<<10), MaxBytes)
	}
	if _, err := io.Copy(sum, f); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return mapFile(f, size)
}

// close makes data invalid.
func (m *mapping) close() error {
	var errs []error
	for _, other := range m.beside {
		errs = append(errs, other.close())
	}
	m.beside = nil
	if m.mapped {
		m.mapped = false
		errs = append(errs, unmap(m.data))
	}
	return errors.Join(errs...)
}
