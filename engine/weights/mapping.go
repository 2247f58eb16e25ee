package weights

import (
	"fmt"
	"os"
)

// mapping is a file's bytes in memory: the file itself where the system can map it, so that processes share
// its pages, else a copy.
type mapping struct {
	data   []byte
	mapped bool
}

// open checks the size before it takes memory.
func open(path string) (*mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
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
	if !m.mapped {
		return nil
	}
	m.mapped = false
	return unmap(m.data)
}
