package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestNoticeIsCurrent checks that NOTICE has the licences of exactly the modules that the binaries contain.
func TestNoticeIsCurrent(t *testing.T) {
	t.Parallel()
	root := testutil.Root(t)
	have, err := os.ReadFile(filepath.Join(root, "NOTICE"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := notice(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("NOTICE is out of date: run make notice, and look at what changed")
	}
}

func TestLicences(t *testing.T) {
	t.Parallel()
	mit, err := os.ReadFile(filepath.Join("testdata", "mit.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		files map[string]string
		ids   []string
		err   string
	}{
		"none":                  {map[string]string{"README.md": "free"}, nil, "no licence found"},
		"unknown words":         {map[string]string{"LICENSE": "Do as you like."}, nil, "no licence found"},
		"MIT":                   {map[string]string{"LICENSE.md": string(mit)}, []string{"MIT"}, ""},
		"code is no licence":    {map[string]string{"license.go": string(mit)}, nil, "no licence found"},
		"a notice beside":       {map[string]string{"COPYING": string(mit), "NOTICE": "By us."}, []string{"MIT"}, ""},
		"a licence to be read":  {map[string]string{"LICENSE": "http://creativecommons.org/licenses/by/4.0/\n"}, nil, "CC-BY-4.0"},
		"one of two to be read": {map[string]string{"LICENSE": string(mit), "LICENSE-FONT": "http://creativecommons.org/licenses/by/4.0/\n"}, nil, "LICENSE-FONT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			d, err := examine("example.org/m", []string{dir})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %q in it", err, test.err)
				}
				return
			}
			if err != nil || !slices.Equal(d.ids, test.ids) {
				t.Errorf("licences %v, error %v; want %v", d.ids, err, test.ids)
			}
		})
	}
}

// TestTextsOnce checks that a text which several dependencies share is there once, under the names of all.
func TestTextsOnce(t *testing.T) {
	t.Parallel()
	got := string(write([]dependency{
		{name: "a", ids: []string{"MIT"}, texts: []string{"one\n", "one\n"}},
		{name: "b", ids: []string{"ISC", "MIT"}, texts: []string{"two\n", "one\n"}},
	}))
	if want := "a\nb\n\none\n"; strings.Count(got, "one\n") != 1 || !strings.Contains(got, want) {
		t.Errorf("want once %q in:\n%s", want, got)
	}
	if want := "  b (ISC, MIT)\n"; !strings.Contains(got, want) {
		t.Errorf("want %q in:\n%s", want, got)
	}
}

func TestArchives(t *testing.T) {
	t.Parallel()
	files := []file{{"resnet18cloud", 0o755, []byte("program")}, {"LICENSE", 0o644, []byte("terms")}}
	t.Run("tar", func(t *testing.T) {
		t.Parallel()
		data := twice(t, files, writeTar)
		plain, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		in := tar.NewReader(plain)
		for _, f := range files {
			h, err := in.Next()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(in)
			if err != nil || h.Name != f.name || h.FileInfo().Mode() != f.mode || !bytes.Equal(got, f.data) {
				t.Errorf("got %s %s %q, error %v", h.Name, h.FileInfo().Mode(), got, err)
			}
		}
	})
	t.Run("zip", func(t *testing.T) {
		t.Parallel()
		data := twice(t, files, writeZip)
		in, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range files {
			got, err := in.Open(f.name)
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(got)
			if err != nil || in.File[i].Mode() != f.mode || !bytes.Equal(content, f.data) {
				t.Errorf("got %s %s %q, error %v", in.File[i].Name, in.File[i].Mode(), content, err)
			}
		}
	})
}

// twice writes an archive two times and checks that both have the same bytes.
func twice(t *testing.T, files []file, write func(io.Writer, []file) error) []byte {
	t.Helper()
	var a, b bytes.Buffer
	for _, out := range []*bytes.Buffer{&a, &b} {
		if err := write(out, files); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two archives of the same files differ")
	}
	return a.Bytes()
}

func TestSums(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "abc"), []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := sums(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc\n"
	if err != nil || string(got) != want {
		t.Errorf("SHA256SUMS = %q, error %v", got, err)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"sell"}, {"build", "-only", "plan9/386"}, {"build", "-commit", "HEAD"}} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("run(%q) succeeded", args)
		}
	}
}
