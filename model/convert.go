package model

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

// Convert reads a weight file in any format, or a folder with one, and writes one safetensors file with all that is known of
// the model: weights, and as metadata head, labels, preprocessing and where they are from. It keeps the metadata of the file,
// and records the SHA-256 of the first file of a chain of conversions. Weights that serving would refuse are an error, and so is
// an out that is named like a file of another format: it may be the user's only copy of a model, and its name would lie.
func Convert(in, out string, o Options) error {
	return ConvertGolden(in, out, "", o)
}

// otherFormats are suffixes of weight files that are no safetensors files.
var otherFormats = []string{".pth", ".pt", ".ckpt", ".bin", ".pkl", ".tar", ".onnx", ".h5", ".gz"}

// ConvertGolden is Convert with a folder of pictures that the file keeps, to be checked before it is served: see [Golden]. An
// empty golden means none. It returns an error, and writes nothing, if the model finds other classes in them.
func ConvertGolden(in, out, golden string, o Options) error {
	if ext := strings.ToLower(filepath.Ext(out)); slices.Contains(otherFormats, ext) {
		return fmt.Errorf("write %s: the result is a safetensors file, and its name ends in %s; give it a name such as %s",
			out, ext, strings.TrimSuffix(filepath.Base(out), filepath.Ext(out))+".safetensors")
	}
	return convertGolden(in, out, golden, Source{}, o)
}

// convert also records the metadata of source.
func convert(in, out string, source Source, o Options) error {
	return convertGolden(in, out, "", source, o)
}

func convertGolden(in, out, golden string, source Source, o Options) (err error) {
	set, err := Load(in, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	if err := errors.Join(finite(set), network(set)); err != nil {
		return fmt.Errorf("%s cannot be served: %w", in, err)
	}
	metadata, err := Metadata(set)
	if err != nil {
		return err
	}
	for key, value := range map[string]string{
		weights.MetaWeights:  source.Weights,
		weights.MetaSource:   source.Origin,
		weights.MetaLicence:  source.Licence,
		weights.MetaRevision: source.Revision,
	} {
		if value != "" {
			metadata[key] = value
		}
	}
	if golden != "" {
		if err := addGolden(golden, set, metadata); err != nil {
			return err
		}
	}
	return Save(out, &safetensors.Content{Tensors: set.Tensors, Int8: set.Int8, Metadata: metadata})
}

// Metadata returns the metadata with which a set is saved: its own, and its description.
func Metadata(set *weights.Set) (map[string]string, error) {
	// Loaders of PyTorch look for the format.
	metadata := map[string]string{"format": "pt", weights.MetaWeights: set.Name(), weights.MetaOrigin: set.SHA256}
	maps.Copy(metadata, set.Metadata)
	return describe.Encode(set.Spec, metadata)
}

// Save writes a safetensors file with [WriteFile].
func Save(path string, c *safetensors.Content) error {
	err := WriteFile(path, func(w io.Writer) error { return safetensors.Write(w, c) })
	if err != nil {
		return fmt.Errorf("save weights %s: %w", path, err)
	}
	return nil
}

// WriteFile writes a file atomically: what write writes goes to a temporary file beside it, which is synced and renamed. A
// replica that has the old file open keeps it. After an error there is no new file, and the old one is as it was.
func WriteFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = write(w)
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
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
