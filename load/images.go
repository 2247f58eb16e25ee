package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// extensions of files that are taken for images.
var extensions = []string{".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}

// FindImages lists the image files below a folder, by extension, in the order of their paths. None at all is
// an error.
func FindImages(dir string) ([]string, error) {
	root, err := filepath.EvalSymlinks(dir) // WalkDir does not follow links, not even the first
	if err != nil {
		return nil, fmt.Errorf("find images: %w", err)
	}
	var files []string
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() && slices.Contains(extensions, strings.ToLower(filepath.Ext(path))) {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find images: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("find images: no file in %s ends in %s", dir, strings.Join(extensions, ", "))
	}
	return files, nil
}

// Expectation says which label an image must get: by base name of the file.
type Expectation map[string]string

// ReadExpectation reads JSON lines with "file" and the right "label" or, best first, "top5_names".
func ReadExpectation(path string) (Expectation, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read expected labels: %w", err)
	}
	defer f.Close()
	expected := Expectation{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		var line struct {
			File  string   `json:"file"`
			Label string   `json:"label"`
			Top5  []string `json:"top5_names"`
		}
		err := json.Unmarshal(lines.Bytes(), &line)
		if line.Label == "" && len(line.Top5) > 0 {
			line.Label = line.Top5[0]
		}
		if err == nil && (line.File == "" || line.Label == "") {
			err = errors.New(`want "file" and "label" or "top5_names"`)
		}
		if err != nil {
			return nil, fmt.Errorf("read expected labels: %s, line %d: %w", path, number, err)
		}
		expected[filepath.Base(line.File)] = line.Label
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read expected labels: %w", err)
	}
	return expected, nil
}
