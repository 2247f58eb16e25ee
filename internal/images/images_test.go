package images_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/images"
)

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b.JPEG", "a.png", "notes.txt", "sub/c.webp"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := images.Find(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("Find = %v, %v; want 3 files", files, err)
	}
	if _, err := images.Find(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
	if _, err := images.Find(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no file in") {
		t.Errorf("empty folder: %v", err)
	}
}

func TestMap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, want := range map[string][]byte{"empty": {}, "full": bytes.Repeat([]byte("ab"), 5000)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		got, release, err := images.Map(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
			continue
		}
		release()
	}
	if _, _, err := images.Map(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
