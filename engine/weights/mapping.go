package weights

import (
	"errors"
	"fmt"
	"os"
)

// mapping is a file's bytes in memory: the file itself where the system can map it, so that processes share
// its pages, else a copy.
type mapping struct {
	data   []byte
	mapped bool
	beside []*mapping // files that belong to it
	total  int        // bytes in beside
}

// open checks the size before it takes memory.
func open(path string) (*mapping, error) {
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
	return mapFile(f, int(info.Size()))
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
