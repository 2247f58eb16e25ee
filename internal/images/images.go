// Package images finds image files in a folder and maps them into memory.
package images

import (
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// extensions of image files.
var extensions = []string{".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}

// Is reports whether a file is an image by its name.
func Is(name string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(name)))
}

// Extensions lists the endings of the names of image files, for people.
func Extensions() string { return strings.Join(extensions, ", ") }

// Find lists the image files in a folder and its subfolders, by extension, sorted by path. It returns an error if there
// is none.
func Find(dir string) ([]string, error) { return find(dir, math.MaxInt) }

// First returns one of the files that Find lists, without looking at all of them.
func First(dir string) (string, error) {
	files, err := find(dir, 1)
	if err != nil {
		return "", err
	}
	return files[0], nil
}

// find lists up to n image files.
func find(dir string, n int) ([]string, error) {
	root, err := filepath.EvalSymlinks(dir) // WalkDir does not follow links, not even its root
	if err != nil {
		return nil, fmt.Errorf("find images: %w", err)
	}
	var files []string
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// Regular files and links only: opening a pipe could block forever.
		if entry.Type()&^fs.ModeSymlink == 0 && Is(path) {
			files = append(files, path)
		}
		if len(files) >= n {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find images: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("find images: no file in %s ends in %s", dir, Extensions())
	}
	return files, nil
}
