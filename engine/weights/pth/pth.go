// Package pth reads the checkpoints that PyTorch's torch.save writes: the zip format (since 1.6) and the
// legacy format before it. Both describe their tensors with a pickle, a program for Python's object
// stack machine that may call anything; the machine here builds tensors, dictionaries, lists and plain values
// from an allow-list and refuses the rest. Package weights is its caller.
//
// Sources of the formats: torch/serialization.py, Lib/pickletools.py of Python.
package pth

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// maxPickle bounds a pickle in bytes, without the numbers of tensors; ResNet-18's has 16 KB.
const maxPickle = 4 << 20

// legacyMagic is a pickle of the number 0x1950a86a20f9469cfc6c in protocol 2, how legacy files begin.
var legacyMagic = []byte("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")

// DetectZip reports whether data begins like a zip checkpoint.
func DetectZip(data []byte) bool { return bytes.HasPrefix(data, []byte("PK\x03\x04")) }

// DetectLegacy reports whether data begins like a legacy checkpoint.
func DetectLegacy(data []byte) bool { return bytes.HasPrefix(data, legacyMagic) }

// ParseZip reads a zip checkpoint: NAME/data.pkl beside NAME/data/KEY, the bytes of each storage. It returns
// the floating-point tensors of the state_dict by name; they share data's memory where they can.
func ParseZip(data []byte) (map[string]tensor.Tensor, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("checkpoint's zip directory (is the file truncated?): %w", err)
	}
	files := make(map[string]*zip.File, len(archive.File))
	prefix := ""
	for _, f := range archive.File {
		files[f.Name] = f
		if path.Base(f.Name) == "data.pkl" {
			prefix = path.Dir(f.Name)
		}
	}
	if prefix == "" {
		return nil, errors.New("zip file holds no data.pkl: not a PyTorch checkpoint")
	}
	program, err := entry(data, files[prefix+"/data.pkl"], maxPickle)
	if err != nil {
		return nil, err
	}
	if f := files[prefix+"/byteorder"]; f != nil {
		if order, err := entry(data, f, 16); err != nil || string(order) != "little" {
			return nil, fmt.Errorf("checkpoint's byte order is %q, want little", order)
		}
	}
	root, _, err := unpickle(program)
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	return collect(root, func(s *storage) ([]byte, error) {
		f := files[prefix+"/data/"+s.key]
		if f == nil {
			return nil, fmt.Errorf("storage %q is not in the file", s.key)
		}
		return entry(data, f, raw.MaxElements)
	})
}

// entry returns a zip entry's bytes and verifies their check sum. PyTorch stores without compression, so that
// they are a part of data.
func entry(data []byte, f *zip.File, limit uint64) ([]byte, error) {
	if f.UncompressedSize64 > limit {
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", f.Name, f.UncompressedSize64, limit)
	}
	if f.Method != zip.Store {
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		defer r.Close()
		b, err := io.ReadAll(io.LimitReader(r, int64(limit)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		return b, nil
	}
	start, err := f.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	end := start + int64(f.UncompressedSize64)
	if start < 0 || end < start || end > int64(len(data)) {
		return nil, fmt.Errorf("%s ends at byte %d, the file has %d", f.Name, end, len(data))
	}
	if sum := crc32.ChecksumIEEE(data[start:end]); sum != f.CRC32 {
		return nil, fmt.Errorf("%s is damaged: its check sum is %08x, want %08x", f.Name, sum, f.CRC32)
	}
	return data[start:end:end], nil
}

// ParseLegacy reads a legacy checkpoint: pickles of a magic number, a version, facts about the machine, the
// state_dict and the list of storage keys; then for each key its number of elements and their bytes.
func ParseLegacy(data []byte) (map[string]tensor.Tensor, error) {
	rest := data[len(legacyMagic):]
	var parts [4]any // version, machine, state_dict, keys
	for i, what := range []string{"version", "machine description", "state_dict", "list of storages"} {
		part, n, err := unpickle(rest[:min(len(rest), maxPickle)])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		parts[i], rest = part, rest[n:]
	}
	if v, ok := parts[0].(int64); !ok || v != 1001 {
		return nil, fmt.Errorf("checkpoint's protocol version is %v, want 1001", parts[0])
	}
	if machine, ok := parts[1].(*dict); ok {
		if little, ok := machine.get("little_endian").(bool); ok && !little {
			return nil, errors.New("checkpoint was written by a big-endian machine, want little-endian")
		}
	}
	keys, ok := parts[3].(*list)
	if !ok {
		return nil, fmt.Errorf("list of storages is a %s", kind(parts[3]))
	}
	sizes := storageTypes(parts[2])
	stored := make(map[string][]byte, len(keys.items))
	for _, k := range keys.items {
		key, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("storage key is a %s, want a string", kind(k))
		}
		if len(rest) < 8 {
			return nil, fmt.Errorf("file ends before storage %q", key)
		}
		n := binary.LittleEndian.Uint64(rest)
		rest = rest[8:]
		size := uint64(sizes[key].Size())
		if size == 0 {
			return nil, fmt.Errorf("storage %q belongs to no tensor", key)
		}
		if n > raw.MaxElements || n*size > uint64(len(rest)) {
			return nil, fmt.Errorf("storage %q has %d elements, the file ends after %d bytes", key, n, len(rest))
		}
		stored[key], rest = rest[:n*size:n*size], rest[n*size:]
	}
	return collect(parts[2], func(s *storage) ([]byte, error) {
		b, ok := stored[s.key]
		if !ok {
			return nil, fmt.Errorf("storage %q is not in the file", s.key)
		}
		return b, nil
	})
}

// stateDict finds the dictionary of tensors: the pickled object itself, or, in checkpoints of training
// scripts, what it holds under "state_dict".
func stateDict(root any) (*dict, error) {
	d, ok := root.(*dict)
	if !ok {
		return nil, fmt.Errorf("checkpoint holds a %s, want a dictionary of tensors", kind(root))
	}
	if inner, ok := d.get("state_dict").(*dict); ok {
		return inner, nil
	}
	return d, nil
}

// storageTypes maps the keys of all storages that the tensors of root use to their element types.
func storageTypes(root any) map[string]raw.DType {
	types := map[string]raw.DType{}
	if d, err := stateDict(root); err == nil {
		for _, e := range d.entries {
			if v, ok := e.value.(*view); ok {
				types[v.storage.key] = v.storage.dtype
			}
		}
	}
	return types
}

// collect reads the tensors of a state_dict, asking for the bytes of storages. Integer tensors
// (num_batches_tracked) are no weights and left out.
func collect(root any, bytesOf func(*storage) ([]byte, error)) (map[string]tensor.Tensor, error) {
	d, err := stateDict(root)
	if err != nil {
		return nil, err
	}
	tensors := make(map[string]tensor.Tensor, len(d.entries))
	total := 0
	for _, e := range d.entries {
		name, ok := e.key.(string)
		if !ok {
			return nil, fmt.Errorf("state_dict has a key that is a %s, want a string", kind(e.key))
		}
		v, ok := e.value.(*view)
		if !ok {
			return nil, fmt.Errorf("state_dict entry %q is a %s, want a tensor", name, kind(e.value))
		}
		if !v.storage.dtype.IsFloat() {
			continue
		}
		t, err := v.read(bytesOf)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if total += len(t.Data); total > raw.MaxElements {
			return nil, fmt.Errorf("tensor %q: with it the tensors have more than %d elements", name, raw.MaxElements)
		}
		tensors[name] = t
	}
	if len(tensors) == 0 {
		return nil, errors.New("checkpoint holds no floating-point tensors")
	}
	return tensors, nil
}
