package model

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
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
	return ConvertWith(in, out, Extra{}, o)
}

// Extra is what a converted file gets beside what is known of the model.
type Extra struct {
	// Name is that of the model in answers and in the Open Inference Protocol. Empty means the name that the file has.
	Name string
	// Golden is a folder of pictures that the file keeps, to be checked before it is served: see [Golden]. Empty means none.
	Golden string
}

// validName is what names are made of: they are in URLs, logs and metrics.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName returns an error for a name that a model cannot be given.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("name %.80q: want up to 64 letters, digits, dots, underscores and hyphens, of which the first is a letter or digit", name)
	}
	return nil
}

// otherFormats are suffixes of weight files that are no safetensors files.
var otherFormats = []string{".pth", ".pt", ".ckpt", ".bin", ".pkl", ".tar", ".onnx", ".h5", ".gz"}

// ConvertWith is Convert with more in the file. It returns an error, and writes nothing, if the name is none, or if the model
// finds other classes than expected in the golden pictures.
func ConvertWith(in, out string, e Extra, o Options) error {
	if e.Name != "" {
		if err := CheckName(e.Name); err != nil {
			return err
		}
	}
	if ext := strings.ToLower(filepath.Ext(out)); slices.Contains(otherFormats, ext) {
		return fmt.Errorf("write %s: the result is a safetensors file, and its name ends in %s; give it a name such as %s",
			out, ext, strings.TrimSuffix(filepath.Base(out), filepath.Ext(out))+".safetensors")
	}
	return convertGolden(in, out, e.Golden, Source{Weights: e.Name}, o)
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
