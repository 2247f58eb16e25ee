package access

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/internal/reread"
)

// readKeys reads a keys file, or all files of a folder such as a mounted Secret, except hidden ones. It also returns
// the files' content, to detect changes.
func readKeys(path string) (keys Keys, content string, err error) {
	files, err := filesOf(path)
	if err != nil {
		return nil, "", fmt.Errorf("read keys: %w", err)
	}
	var all strings.Builder
	var problems []error
	for _, file := range files {
		data, err := reread.File(file)
		if err != nil {
			problems = append(problems, fmt.Errorf("read keys: %w", err))
			continue
		}
		all.WriteString(file + "\x00" + string(data) + "\x00")
		part, err := Parse(file, data)
		keys, problems = append(keys, part...), append(problems, err)
	}
	if err = errors.Join(problems...); err == nil {
		if len(keys) == 0 {
			err = errors.New("there is no key: make one with 'resnet18cloud keys new'")
		} else {
			err = keys.check()
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	return keys, all.String(), err
}

// filesOf returns the files to read for a path.
func filesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		if strings.HasPrefix(e.Name(), ".") { // ..data and others in a mounted Secret
			continue
		}
		if info, err := os.Stat(file); err != nil || info.Mode().IsRegular() {
			files = append(files, file) // reading it gives the error
		}
	}
	return files, nil
}
