package load_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/load"
)

// TestPrepareStopsAtItsBound keeps the bodies that fit, and at least one.
func TestPrepareStopsAtItsBound(t *testing.T) {
	t.Parallel()
	files := []string{picture(t, "a.jpg")[0], picture(t, "b.jpg")[0], picture(t, "c.jpg")[0]}
	same := func(image []byte) ([]byte, error) { return bytes.Clone(image), nil }
	for most, want := range map[int]int{1: 1, 11: 1, 12: 2, 1000: 3} {
		taken, open, err := load.Prepare(t.Context(), files, same, most)
		if err != nil || len(taken) != want {
			t.Fatalf("%d bytes: %v, %v; want %d files", most, taken, err, want)
		}
		if body, _, err := open(taken[0]); err != nil || string(body) != "pixels" {
			t.Errorf("body %q, %v", body, err)
		}
	}
	refuse := func([]byte) ([]byte, error) { return nil, errors.New("no picture") }
	if _, _, err := load.Prepare(t.Context(), files, refuse, 1); err == nil || !strings.Contains(err.Error(), "prepare a.jpg: no picture") {
		t.Errorf("encoder that refuses: %v", err)
	}
}

// TestUnique: no two bodies are equal, nor those of two runs, and the picture stands in front.
func TestUnique(t *testing.T) {
	t.Parallel()
	files, seen := picture(t, "a.jpg"), map[string]bool{}
	for range 2 {
		open := load.Unique(images.Map)
		for range 3 {
			body, release, err := open(files[0])
			if err != nil || !bytes.HasPrefix(body, []byte("pixels")) || len(body) != len("pixels")+16 || seen[string(body)] {
				t.Errorf("body %q, %v", body, err)
			}
			seen[string(body)] = true
			release()
		}
	}
	open := load.Unique(images.Map)
	body, release, err := open(files[0])
	other, _, _ := open(files[0])
	if err != nil || &body[0] == &other[0] {
		t.Errorf("%v, or a body that is in use was given out again", err)
	}
	release()
	if _, _, err := load.Unique(images.Map)("none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
