package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestModelTeach teaches on a few photos and classifies others with the result.
func TestModelTeach(t *testing.T) {
	t.Parallel()
	backbone, photos := testutil.Shared(t, "models", "resnet18-ktb.pth"), testutil.Shared(t, "own", "photos", "signs")
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "signs.safetensors")
	for _, class := range []string{"0", "5"} {
		if err := os.Mkdir(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(filepath.Join(photos, class))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files[:6] {
			data, err := os.ReadFile(filepath.Join(photos, class, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, class, f.Name()), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "0", "broken.jpg"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := command(t, "model", "teach", dir, "-o", out, "--model", backbone)
	if err != nil {
		t.Fatal(err)
	}
	report := strings.TrimSuffix(out, ".safetensors") + ".html"
	for _, want := range []string{"skipped     0/broken.jpg: ", "pictures    12 in 2 classes\n", "accuracy    ", "report      " + report, "serve       resnet18cloud up --model " + out} {
		if !strings.Contains(stdout, want) {
			t.Errorf("printed %q, want it to contain %q", stdout, want)
		}
	}
	for _, want := range []string{"13 of 13 pictures", "under 20 pictures"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("reported %q, want it to contain %q", stderr, want)
		}
	}
	if page, err := os.ReadFile(report); err != nil || !bytes.Contains(page, []byte("<!doctype html>")) {
		t.Errorf("report: %v", err)
	}
	stdout, _, err = command(t, "classify", "--model", out, "--json", testutil.Shared(t, "images", "imagenet-sample", "n01440764_tench.JPEG"))
	if err != nil || !strings.Contains(stdout, `"unknown":true`) {
		t.Errorf("a fish: %s, %v, want it unknown", stdout, err)
	}
	if _, _, err := command(t, "model", "teach", filepath.Join(dir, "0"), "-o", out, "--model", backbone); err == nil || !strings.Contains(err.Error(), "want one folder for each class") {
		t.Errorf("a folder without folders: %v", err)
	}
}

func TestPictureBar(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	lines := newPictureBar(&b)
	for i := range 10 {
		lines.update(i+1, 10)
	}
	lines.end()
	if got, want := b.String(), "3 of 10 pictures\n5 of 10 pictures\n8 of 10 pictures\n10 of 10 pictures\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	b.Reset()
	bar := pictureBar{w: &b, terminal: true}
	bar.update(5, 10)
	bar.end()
	if got := b.String(); !strings.HasPrefix(got, "\r["+strings.Repeat("=", 20)+strings.Repeat(" ", 20)+"] 5 of 10 pictures") || !strings.HasSuffix(got, "\n") {
		t.Errorf("drew %q", got)
	}
}
