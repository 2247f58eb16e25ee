package pth

import (
	"archive/zip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/zipdir"
)

const (
	// maxProgram bounds data.pkl, where the numbers of tensors are not; ResNet-18's has 16 KB.
	maxProgram = 64 << 20
	// maxInflated bounds what compressed storages unpack to together: PyTorch stores without compression, but people zip again.
	maxInflated = 4 * raw.MaxElements
)

// readZip reads NAME/data.pkl; NAME/data/KEY has the bytes of each storage. NAME is missing in files that were zipped by
// hand.
func readZip(data []byte, steps *int) (any, *source, error) {
	archive, err := zipdir.Open(data)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint's zip directory (is the file truncated?): %w", err)
	}
	z := archived{data: data, files: make(map[string]*zip.File, len(archive.File)), inflatable: maxInflated}
	for _, f := range archive.File {
		z.files[f.Name] = f
	}
	prefix, err := z.prefix()
	if err != nil {
		return nil, nil, err
	}
	program, err := z.read(prefix+"data.pkl", maxProgram)
	if err != nil {
		return nil, nil, err
	}
	if z.files[prefix+"byteorder"] != nil {
		if order, err := z.read(prefix+"byteorder", 16); err != nil || strings.TrimSpace(string(order)) != "little" {
			return nil, nil, fmt.Errorf("checkpoint's byte order is %q, want little", order)
		}
	}
	root, _, err := newMachine(steps).run(program)
	if err != nil {
		return nil, nil, fmt.Errorf("data.pkl: %w", err)
	}
	return root, &source{fetch: func(s *storage) ([]byte, error) {
		return z.read(prefix+"data/"+s.key, uint64(s.elements)*uint64(s.dtype.Size()))
	}}, nil
}

// archived reads the entries of a zip file in memory.
type archived struct {
	data       []byte
	files      map[string]*zip.File
	inflatable uint64 // bytes that compressed entries may still unpack to
}

// prefix returns the folder of data.pkl, the shortest if there are several, with its slash.
func (z *archived) prefix() (string, error) {
	found, prefix := false, ""
	for name := range z.files {
		if path.Base(name) != "data.pkl" || strings.HasSuffix(name, "/") {
			continue
		}
		if p := strings.TrimSuffix(name, "data.pkl"); !found || len(p) < len(prefix) || len(p) == len(prefix) && p < prefix {
			found, prefix = true, p
		}
	}
	if found {
		return prefix, nil
	}
	for name := range z.files {
		if path.Base(name) == "model.json" && z.files[path.Dir(name)+"/version"] != nil {
			return "", errors.New("zip file is TorchScript of PyTorch before 1.4, which has no data.pkl: load it with torch.jit.load and save its state_dict with torch.save")
		}
	}
	return "", errors.New("zip file holds no data.pkl: not a PyTorch checkpoint")
}

// read returns an entry's bytes, of which there may be at most limit, and verifies their check sum. Entries that are stored
// without compression, as PyTorch does, are a part of data. Not safe for concurrent use.
func (z *archived) read(name string, limit uint64) ([]byte, error) {
	f := z.files[name]
	if f == nil {
		return nil, fmt.Errorf("%s is not in the file", name)
	}
	n := f.UncompressedSize64
	if n > limit {
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", name, n, limit)
	}
	if f.Method != zip.Store {
		return z.inflate(f)
	}
	start, err := f.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if start < 0 || start > int64(len(z.data)) || n > uint64(int64(len(z.data))-start) {
		return nil, fmt.Errorf("%s ends at byte %d+%d, the file has %d", name, start, n, len(z.data))
	}
	b := z.data[start : start+int64(n) : start+int64(n)]
	// A sum of zero stands where PyTorch was told to compute none (torch.serialization.set_crc32_options).
	if sum := crc32.ChecksumIEEE(b); sum != f.CRC32 && f.CRC32 != 0 {
		return nil, fmt.Errorf("%s is damaged: its check sum is %08x, want %08x", name, sum, f.CRC32)
	}
	return b, nil
}

// inflate unpacks a compressed entry.
func (z *archived) inflate(f *zip.File) ([]byte, error) {
	n := f.UncompressedSize64
	// Deflate makes at most 1032 bytes of one: a larger promise is a lie.
	if n > z.inflatable || n/1032 > f.CompressedSize64 {
		return nil, fmt.Errorf("%s: unpacks to %d bytes, of which %d may be unpacked", f.Name, n, z.inflatable)
	}
	z.inflatable -= n
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	defer r.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF { // the check sum is verified at the end
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return b, nil
}
