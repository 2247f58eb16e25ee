package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pollInterval is the time between two looks at a file. Polling works on every file system, and with the symbolic links
// that Kubernetes replaces when a Secret changes.
const pollInterval = 2 * time.Second

// maxFileBytes limits a file: 10,000 keys have 1.3 MB.
const maxFileBytes = 4 << 20

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
		data, err := readFile(file)
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

// readFile reads a file of limited size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxFileBytes:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return data, nil
}

// readAgain returns an error if the path is neither a file nor a folder. A pipe can be read at the start, but not again:
// opening it would wait until somebody writes, possibly forever.
func readAgain(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = fmt.Errorf("%s is not a regular file: its changes cannot be followed", path)
	}
	return err
}

// poll calls look at intervals until ctx ends.
func poll(ctx context.Context, look func()) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			look()
		}
	}
}
