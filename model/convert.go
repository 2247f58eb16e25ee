package model

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

// Convert reads a weight file in any format and writes it as safetensors. It keeps the metadata of the file, and
// records the SHA-256 of the first file of a chain of conversions.
func Convert(in, out string) error { return convert(in, out, Source{}) }

// convert also records the metadata of source.
func convert(in, out string, source Source) (err error) {
	set, err := weights.Load(in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	metadata := map[string]string{weights.MetaWeights: set.Name(), weights.MetaOrigin: set.SHA256}
	maps.Copy(metadata, set.Metadata)
	for key, value := range map[string]string{
		weights.MetaWeights: source.Weights,
		weights.MetaSource:  source.Origin,
		weights.MetaLicence: source.Licence,
	} {
		if value != "" {
			metadata[key] = value
		}
	}
	return Save(out, &safetensors.Content{Tensors: set.Tensors, Int8: set.Int8, Metadata: metadata})
}

// Save writes a safetensors file atomically: it writes a temporary file, syncs it, and renames it. A replica that has the
// old file open keeps it.
func Save(path string, c *safetensors.Content) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("save weights: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = safetensors.Write(w, c)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("save weights %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
