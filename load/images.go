package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
		// Files and links to them; opening a pipe would wait for ever.
		if entry.Type()&^fs.ModeSymlink == 0 && slices.Contains(extensions, strings.ToLower(filepath.Ext(path))) {
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
	expected, err := parseExpectation(f)
	if err != nil {
		return nil, fmt.Errorf("read expected labels: %s, %w", path, err)
	}
	return expected, nil
}

func parseExpectation(r io.Reader) (Expectation, error) {
	expected := Expectation{}
	lines := bufio.NewScanner(r)
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
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		name := filepath.Base(line.File)
		if other, ok := expected[name]; ok && other != line.Label {
			return nil, fmt.Errorf("line %d: %s is %q here and %q before; files are told apart by their names alone", number, name, line.Label, other)
		}
		expected[name] = line.Label
	}
	return expected, lines.Err()
}

// ExpectNames takes the right labels from the names of files as they are in samples of ImageNet,
// n01531178_goldfinch.JPEG, where the label has underscores for what is no letter or digit. Files with other
// names, or whose label is not one of labels or is that of two classes (crane), are not checked; when that is
// all, it is an error.
func ExpectNames(files, labels []string) (Expectation, error) {
	label := map[string]string{}
	for _, l := range labels {
		label[words(l)] = l
	}
	synsets := map[string]string{} // by words
	of := map[string]string{}      // words by file
	for _, file := range files {
		name := filepath.Base(file)
		synset, rest, ok := strings.Cut(strings.TrimSuffix(name, filepath.Ext(name)), "_")
		if !ok || len(synset) != len("n01531178") || synset[0] != 'n' {
			continue
		}
		w := words(rest)
		of[name] = w
		if other, ok := synsets[w]; ok && other != synset {
			delete(label, w) // a crane and a crane: names do not say which is which
		}
		synsets[w] = synset
	}
	expected := Expectation{}
	for name, w := range of {
		if l, ok := label[w]; ok {
			expected[name] = l
		}
	}
	if len(expected) == 0 {
		return nil, errors.New("no file is named after its class, such as n01531178_goldfinch.JPEG")
	}
	return expected, nil
}

// words is a label without what file names cannot hold.
func words(label string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, label)
}
