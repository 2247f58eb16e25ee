package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Expectation holds the expected label of each image, by the path of the file or by its base name.
type Expectation map[string]string

// Label returns the expected label of a file; ok is false if there is none.
func (e Expectation) Label(file string) (label string, ok bool) {
	if label, ok = e[file]; !ok {
		label, ok = e[filepath.Base(file)]
	}
	return label, ok
}

// ReadExpectation reads JSON lines with "file" and either "label" or "top5_names", whose first element is the label.
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
			return nil, fmt.Errorf("line %d: %s is %q here and %q before; files are identified by name only", number, name, line.Label, other)
		}
		expected[name] = line.Label
	}
	return expected, lines.Err()
}

// ExpectFolders derives the expected labels from the folders of the files below root: the first folder on the way from root to
// a file is its label, as in root/ant/17.jpg. Files directly in root have none. It returns an error if all have none.
func ExpectFolders(root string, files []string) (Expectation, error) {
	expected := Expectation{}
	for _, file := range files {
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return nil, fmt.Errorf("read expected labels: %w", err)
		}
		label, _, ok := strings.Cut(filepath.ToSlash(rel), "/")
		if !ok || label == ".." {
			continue
		}
		expected[file] = label
	}
	if len(expected) == 0 {
		return nil, fmt.Errorf("%s has no image in a folder of its class, as in %s", root, filepath.Join(root, "ant", "17.jpg"))
	}
	return expected, nil
}

// ExpectNames derives the expected labels from file names such as n01531178_goldfinch.JPEG, as in ImageNet's samples,
// where underscores replace all characters that are not letters or digits. It skips files with other names, with a label
// that is not in labels, and with a label that two classes share (crane). If no file is left, it returns an error.
func ExpectNames(files, labels []string) (Expectation, error) {
	label := map[string]string{} // by words
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
			delete(label, w) // two classes have this label: the name is ambiguous
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
		return nil, errors.New("no file is named after its class, as in n01531178_goldfinch.JPEG")
	}
	return expected, nil
}

// words returns the letters and digits of a label.
func words(label string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, label)
}
