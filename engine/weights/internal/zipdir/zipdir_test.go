package zipdir_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/zipdir"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	for entries, problem := range map[int]string{2: "", zipdir.MaxBytes / 200: "more than"} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i := range entries {
			if _, err := z.Create(fmt.Sprintf("%0200d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		archive, err := zipdir.Open(b.Bytes())
		switch {
		case problem != "":
			if err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("Open of %d entries: error %v, want one with %q", entries, err, problem)
			}
		case err != nil || len(archive.File) != entries:
			t.Errorf("Open of %d entries: %v", entries, err)
		}
	}
}
