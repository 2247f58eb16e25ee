package weights

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// preferences are the names of weight files in a folder, those of the first line before those of the second and so on; each
// also with .gz. The first three are those of Hugging Face's hub.
var preferences = [][]string{
	{"model.safetensors"},
	{"pytorch_model.bin"},
	{"model.onnx"},
	{"*.safetensors"},
	{"*.pth", "*.pt", "*.pth.tar"},
	{"*.ckpt"},
	{"*.onnx"},
}

// Find returns the weight file that path means: path itself, or, in a folder, model.safetensors, pytorch_model.bin, model.onnx,
// or the only file of a kind of weights. Errors for other folders list what is there.
func Find(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return path, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(path, e.Name())); err == nil && info.Mode().IsRegular() { // links count, as in caches of the hub
			names = append(names, e.Name())
		}
	}
	for _, patterns := range preferences {
		found := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !matchesAny(patterns, strings.TrimSuffix(name, ".gz")) })
		switch len(found) {
		case 0:
		case 1:
			return filepath.Join(path, found[0]), nil
		default:
			return "", fmt.Errorf("the folder %s has several weight files, give one of them: %s", path, list(found))
		}
	}
	return "", unusable(path, names)
}

// matchesAny reports whether a name matches one of the patterns.
func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := filepath.Match(p, name)
		return ok && err == nil
	})
}

// unusable is the error for a folder without a weight file.
func unusable(folder string, names []string) error {
	switch {
	case slices.Contains(names, "model.safetensors.index.json"), slices.Contains(names, "pytorch_model.bin.index.json"):
		return fmt.Errorf("the weights in the folder %s are in several files: save the model in one, save_pretrained(..., max_shard_size=\"10GB\")", folder)
	case slices.Contains(names, "saved_model.pb"):
		return fmt.Errorf("the folder %s is a TensorFlow SavedModel: convert it to ONNX or PyTorch first", folder)
	case slices.Contains(names, "tf_model.h5"), slices.Contains(names, "flax_model.msgpack"):
		return fmt.Errorf("the folder %s has weights for TensorFlow or Flax only: save the model for PyTorch", folder)
	case len(names) == 0:
		return fmt.Errorf("the folder %s has no files: give a weight file", folder)
	}
	return errors.New("the folder " + folder + " has no weight file (model.safetensors, pytorch_model.bin, model.onnx, *.pth, *.ckpt), but: " + list(names))
}

// list joins names, at most eight.
func list(names []string) string {
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// folderName returns the name of a folder, "" for one that has none, such as the root.
func folderName(folder string) string {
	full, err := filepath.Abs(folder)
	if err != nil {
		return ""
	}
	return strings.Trim(filepath.Base(full), string(filepath.Separator))
}
