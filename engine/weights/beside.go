package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
)

// besideIn opens files in a model's folder: large ONNX models keep their weights there. A name that leads out of the
// folder, also by a symbolic link, is an error. The mappings belong to m.
func (m *mapping) besideIn(dir string) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer func() { _ = root.Close() }()                                       // only read
		if info, err := root.Stat(name); err == nil && !info.Mode().IsRegular() { // to open a pipe would wait for its writer
			return nil, fmt.Errorf("%s is not a regular file", name)
		}
		f, err := root.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		other, err := mapOpen(f)
		if err != nil {
			return nil, err
		}
		m.beside = append(m.beside, other)
		if m.total += len(other.data); m.total > MaxBytes {
			return nil, fmt.Errorf("%s: with it the files of the model have more than %d bytes", name, MaxBytes)
		}
		return other.data, nil
	}
}

// digest returns the SHA-256 of the file as stored, or, if others belong to it, that of the digests of all.
func (m *mapping) digest() string {
	if len(m.beside) == 0 {
		return m.sha256
	}
	all := m.sha256
	for _, other := range m.beside {
		all += other.sha256
	}
	sum := sha256.Sum256([]byte(all))
	return hex.EncodeToString(sum[:])
}
