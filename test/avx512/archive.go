//go:build linux && amd64

package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// archive writes a cpio archive in the "newc" format, which Linux unpacks as its initial file system
// (Documentation/driver-api/early-userspace/buffer-format.rst). close returns the first error.
type archive struct {
	w    *bufio.Writer
	have map[string]bool
	err  error
}

func newArchive(w io.Writer) *archive {
	return &archive{bufio.NewWriter(w), map[string]bool{"/": true}, nil}
}

// entry writes a file, a folder or a device, preceded by its parent folders.
func (a *archive) entry(path string, mode, major, minor int, data []byte) {
	if a.have[path] {
		return
	}
	if strings.HasPrefix(path, "/") {
		a.folder(filepath.Dir(path))
	}
	a.have[path] = true
	name := strings.TrimPrefix(path, "/")
	const links = 1
	// magic, inode, mode, owner, group, links, time, size, device's major and minor, those of a special file, name's size, checksum
	n, _ := fmt.Fprintf(a.w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		len(a.have), mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name)
	a.pad(n)
	a.w.Write(data)
	a.pad(len(data))
}

func (a *archive) pad(n int) { a.w.WriteString("\x00\x00\x00"[:-n&3]) }

func (a *archive) folder(path string)                   { a.entry(path, 0o040755, 0, 0, nil) }
func (a *archive) file(path string, data []byte)        { a.entry(path, 0o100755, 0, 0, data) }
func (a *archive) device(path string, major, minor int) { a.entry(path, 0o020600, major, minor, nil) }

// copy adds a file of this machine.
func (a *archive) copy(path, from string) {
	data, err := os.ReadFile(from)
	a.err = cmp.Or(a.err, err)
	a.file(path, data)
}

// tree adds the files of a package's folder, and its testdata.
func (a *archive) tree(dir string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Type().IsRegular():
			a.copy(path, path)
		case filepath.Dir(path) == dir && d.IsDir() && d.Name() != "testdata":
			return fs.SkipDir
		}
		return nil
	})
	a.err = cmp.Or(a.err, err)
}

func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, 0, 0, nil)
	return cmp.Or(a.err, a.w.Flush())
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
