package jpeg_test

import (
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
	"github.com/resnet18cloud/resnet18cloud/engine/jpeg/internal/kernel"
)

// TestLevelsAgree decodes every golden file on every level of this CPU. It does not run in parallel: levels are
// switched for the whole package.
func TestLevelsAgree(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	levels := kernel.Levels()
	t.Cleanup(func() { kernel.Use(levels[len(levels)-1]) })
	want := make([]string, len(files))
	var d jpeg.Decoder
	for _, level := range levels {
		kernel.Use(level)
		for i, name := range files {
			got := "error"
			if m, err := d.Decode(readFile(t, name), jpeg.Options{}); err == nil {
				got = hashRGB(m)
			}
			if level == levels[0] {
				want[i] = got
			} else if got != want[i] {
				t.Errorf("%s: %v differs from %v", name, level, levels[0])
			}
		}
	}
}
