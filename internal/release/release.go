package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// release is what the command build makes. The same sources and the same Go give the same bytes, on any machine.
type release struct {
	version   string // as the tag has it, such as v0.1.0
	commit    string // of the sources; empty if it is not known
	out       string // folder for the files
	sbom      string // package that writes bills of materials
	cache     string // build cache for the program; empty is the user's
	platforms []platform
}

// documents go into every archive, beside the program.
var documents = []string{"CHANGELOG.md", "LICENSE", "NOTICE", "README.md"}

// epoch is the time of every file in an archive: the earliest that zip knows.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func (r release) make(ctx context.Context) error {
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for _, p := range r.platforms {
		if err := r.platform(ctx, p, temp); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return sums(r.out)
}

// platform builds the program for one platform, and writes its archive and its bill of materials.
func (r release) platform(ctx context.Context, p platform, temp string) error {
	name := "resnet18cloud_" + strings.TrimPrefix(r.version, "v") + "_" + p.os + "_" + p.arch
	binary := filepath.Join(temp, name, "resnet18cloud")
	if p.os == "windows" {
		binary += ".exe"
	}
	// Go would stamp the commit only where there is a .git folder: -X gives the same bytes everywhere.
	env := []string{"GOOS=" + p.os, "GOARCH=" + p.arch}
	if r.cache != "" {
		env = append(env, "GOCACHE="+r.cache)
	}
	err := goTool(ctx, env, "build", "-buildvcs=false",
		"-ldflags", r.ldflags(), "-o", binary, program)
	if err != nil {
		return err
	}
	err = goTool(ctx, nil, "run", r.sbom, "bin", "-json", "-noserial", "-notimestamp", "-std", "-version", r.version,
		"-output", filepath.Join(r.out, name+".cdx.json"), binary)
	if err != nil {
		return fmt.Errorf("bill of materials: %w", err)
	}
	files := append([]string{binary}, documents...)
	if p.os == "windows" {
		return pack(filepath.Join(r.out, name+".zip"), files, writeZip)
	}
	return pack(filepath.Join(r.out, name+".tar.gz"), files, writeTar)
}

// ldflags returns the flags that strip the program and tell it its version and commit.
func (r release) ldflags() string {
	return "-s -w -X main.version=" + r.version + " -X main.commit=" + r.commit
}

// goTool runs the go command in an environment in which nothing of the user's changes the bytes it writes.
func goTool(ctx context.Context, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -mod=readonly", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0")
	cmd.Env = append(cmd.Env, env...)
	return cmd.Run()
}

// file is one file in an archive.
type file struct {
	name string
	mode fs.FileMode
	data []byte
}

// pack writes the files, without their folders, to an archive; the first one is the program.
func pack(to string, paths []string, write func(io.Writer, []file) error) error {
	var files []file
	for i, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f := file{filepath.Base(path), 0o644, data}
		if i == 0 {
			f.mode = 0o755
		}
		files = append(files, f)
	}
	var out bytes.Buffer
	if err := write(&out, files); err != nil {
		return err
	}
	return os.WriteFile(to, out.Bytes(), 0o644)
}

func writeTar(w io.Writer, files []file) error {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	out := tar.NewWriter(zipped)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: epoch, Format: tar.FormatUSTAR}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := out.Write(f.data); err != nil {
			return err
		}
	}
	return errors.Join(out.Close(), zipped.Close())
}

func writeZip(w io.Writer, files []file) error {
	out := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: epoch}
		h.SetMode(f.mode)
		entry, err := out.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.data); err != nil {
			return err
		}
	}
	return out.Close()
}

// sums writes SHA256SUMS, which sha256sum -c reads, of all files in a folder.
func sums(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(data), e.Name())
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), out.Bytes(), 0o644)
}
