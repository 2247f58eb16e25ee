package pth

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// legacyMagics are the end of a pickle of the number 0x1950a86a20f9469cfc6c, from protocol 2 on and before. Legacy files begin
// with it; later protocols have up to 11 bytes before the number.
var legacyMagics = [][]byte{
	[]byte("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."),
	[]byte("L119547037146038801333356L\n."),
}

// afterMagic returns data without the magic number, nil if it does not begin with that.
func afterMagic(data []byte) []byte {
	for _, magic := range legacyMagics {
		if at := bytes.Index(data[:min(len(data), 64)], magic); at >= 0 && at <= 11 {
			return data[at+len(magic):]
		}
	}
	return nil
}

// readLegacy reads pickles of a magic number, a version, facts about the machine, the object and the list of storage
// keys; then for each key its number of elements and their bytes.
func readLegacy(data []byte, steps *int) (any, *source, error) {
	root, stored, err := splitLegacy(data, steps, 0)
	if err != nil {
		return nil, nil, err
	}
	return root, &source{fetch: func(s *storage) ([]byte, error) {
		b, ok := stored[s.key]
		if !ok {
			return nil, fmt.Errorf("storage %q is not in the file", s.key)
		}
		return b, nil
	}}, nil
}

// splitLegacy returns the object and the bytes of the storages by key.
func splitLegacy(data []byte, steps *int, nesting int) (root any, stored map[string][]byte, err error) {
	rest := afterMagic(data)
	if rest == nil {
		return nil, nil, errors.New("does not begin like a legacy checkpoint")
	}
	var parts [4]any // version, machine, object, keys
	var storages map[string]*storage
	for i, what := range []string{"version", "machine description", "object", "list of storages"} {
		m := newMachine(steps)
		m.nesting = nesting
		part, n, err := m.run(rest)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", what, err)
		}
		if i == 2 {
			storages = m.storages
		}
		parts[i], rest = part, rest[n:]
	}
	if v, ok := parts[0].(int64); !ok || v != 1001 {
		return nil, nil, fmt.Errorf("checkpoint's protocol version is %v, want 1001", parts[0])
	}
	if little, ok := get(entriesOf(parts[1]), "little_endian").(bool); ok && !little {
		return nil, nil, errors.New("checkpoint was written by a big-endian machine, want little-endian")
	}
	keys, ok := parts[3].(*list)
	if !ok {
		return nil, nil, fmt.Errorf("list of storages is a %s", kind(parts[3]))
	}
	stored = make(map[string][]byte, len(keys.items))
	for _, k := range keys.items {
		key, ok := k.(string)
		if n, isNumber := k.(int64); isNumber {
			key, ok = fmt.Sprint(n), true
		}
		s := storages[key]
		if !ok || s == nil {
			return nil, nil, fmt.Errorf("storage %.40q belongs to no tensor", fmt.Sprint(k))
		}
		if len(rest) < 8 {
			return nil, nil, fmt.Errorf("file ends before storage %q", key)
		}
		n, size := binary.LittleEndian.Uint64(rest), uint64(s.dtype.Size())
		rest = rest[8:]
		if n > maxStored || n*size > uint64(len(rest)) {
			return nil, nil, fmt.Errorf("storage %q has %d elements, the file ends after %d bytes", key, n, len(rest))
		}
		stored[key], rest = rest[:n*size:n*size], rest[n*size:]
	}
	return parts[2], stored, nil
}

// nested reads a legacy checkpoint of one storage inside of a pickle.
func (m *machine) nested(data []byte) (any, error) {
	if m.nesting >= maxNesting {
		return nil, fmt.Errorf("storage in the pickle: more than %d pickles are inside of each other", maxNesting)
	}
	root, stored, err := splitLegacy(data, m.steps, m.nesting+1)
	if err != nil {
		return nil, fmt.Errorf("storage in the pickle: %w", err)
	}
	s, ok := root.(*storage)
	if !ok {
		return nil, fmt.Errorf("storage in the pickle is a %s", kind(root))
	}
	b := stored[s.key]
	s.inline = func() ([]byte, error) { return b, nil }
	return s, nil
}
