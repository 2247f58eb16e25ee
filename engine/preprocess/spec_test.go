package preprocess

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// TestCropEqualsPillow compares with testdata/specs.txt, which generate_specs.py wrote.
func TestCropEqualsPillow(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join("testdata", "specs.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var r Resizer
	var in Input
	for lines := bufio.NewScanner(file); lines.Scan(); {
		p := spec.Torchvision()
		var kind, want string
		var width, height int
		if _, err := fmt.Sscan(lines.Text(), &p.Mode, &p.Interpolation, &p.Resize, &p.Crop, &p.Center,
			&kind, &width, &height, &want); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		r.Spec = p
		r.Crop(&in, picture(kind, width, height), 3*width, width, height)
		if got := fmt.Sprintf("%x", sha256.Sum256(in))[:len(want)]; got != want {
			t.Errorf("%s: got %s", lines.Text(), got)
		}
	}
}
