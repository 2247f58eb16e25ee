package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// file is a model's file, as it was found in the folder.
type file struct {
	base    string // name in the folder
	name    string // of the model
	version string // by the file's name; empty if that has none
	stamp   stamp
}

// stamp tells one content of a file from another. Files that are renamed over others have other times or sizes.
type stamp struct {
	size     int64
	modified time.Time
}

// suffixes are those of weight files. Others in the folder are ignored: notes, labels, the data of ONNX files.
var suffixes = []string{".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".onnx"}

// validName is what names and versions are made of: they are in URLs, logs and metrics.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// parseName splits the name of a file such as "trash@2.safetensors" into name and version, which is empty if there is
// none. ok is false for files that are no models by their names.
func parseName(base string) (name, version string, ok bool, err error) {
	stem := strings.TrimSuffix(base, ".gz")
	suffix := filepath.Ext(stem)
	if strings.HasPrefix(base, ".") || !slices.Contains(suffixes, suffix) {
		return "", "", false, nil
	}
	name, version, versioned := strings.Cut(strings.TrimSuffix(stem, suffix), "@")
	if !validName.MatchString(name) || versioned && !validName.MatchString(version) {
		return name, version, true, fmt.Errorf("file name %.80q, want NAME or NAME@VERSION and a suffix: up to 64 letters, digits, dots, underscores and hyphens each", base)
	}
	return name, version, true, nil
}

// SplitName splits what a request names: "trash@2" or "trash", whose version is empty.
func SplitName(model string) (name, version string) {
	name, version, _ = strings.Cut(model, "@")
	return name, version
}

// maxFiles bounds the files of a folder that are looked at.
const maxFiles = 10_000

// list returns the models' files of a folder, by their names, and the errors of those with names that are not valid.
// Symbolic links count as what they point to, as Kubernetes mounts files.
func list(dir string) (files []file, problems map[string]error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read the folder of models: %w", err)
	}
	defer f.Close()
	entries, err := f.Readdirnames(maxFiles + 1)
	if len(entries) > maxFiles {
		return nil, nil, fmt.Errorf("the folder of models %s has more than %d files: is this the right folder?", dir, maxFiles)
	}
	if len(entries) == 0 { // Readdirnames returns io.EOF
		if _, err := os.Stat(dir); err != nil {
			return nil, nil, fmt.Errorf("read the folder of models: %w", err)
		}
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the folder of models: %w", err)
	}
	slices.Sort(entries)
	problems = map[string]error{}
	for _, base := range entries {
		name, version, ok, err := parseName(base)
		if !ok {
			continue
		}
		info, statErr := os.Stat(filepath.Join(dir, base))
		if errors.Is(statErr, os.ErrNotExist) { // removed meanwhile
			continue
		}
		if statErr == nil && !info.Mode().IsRegular() {
			continue
		}
		if err := errors.Join(err, statErr); err != nil {
			problems[base] = err
			continue
		}
		files = append(files, file{base, name, version, stamp{info.Size(), info.ModTime()}})
	}
	return files, problems, nil
}

// compareVersions orders versions.
var compareVersions = resnet18cloud.CompareVersions
