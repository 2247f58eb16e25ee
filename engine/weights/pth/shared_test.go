package pth

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// unpacked reads a gzipped file of the folder of own models.
func unpacked(t *testing.T, name string) []byte {
	t.Helper()
	packed, err := os.ReadFile(testutil.Shared(t, "own", "checkpoints", name))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRealFiles checks files that PyTorch and the libraries around it wrote: the groups of tensors, how many there are, and
// the one with the first convolution. Package weights loads all such files.
func TestRealFiles(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("unpacks 400 MB")
	}
	for file, want := range map[string][]string{ // name, number of tensors, first convolution
		"tv-references-ema.pth.gz":     {"model_ema 123 module.conv1.weight", "model 122 conv1.weight"},
		"lightning.ckpt.gz":            {"state_dict 124 model.conv1.weight"},
		"places365-python2.pth.tar.gz": {"state_dict 102 module.conv1.weight"},
		"whole-model-legacy.pth.gz":    {" 122 conv1.weight"},
		"traced.pt.gz":                 {" 122 conv1.weight"},
		"detectron2.pkl.gz":            {"model 122 stem.conv1.weight"},
		"refuse-optimizer-only.pth.gz": nil,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			c, err := Parse(unpacked(t, file))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, candidate := range c.Candidates {
				first := ""
				for name, lazy := range candidate.Tensors {
					if slices.Equal(lazy.Shape, []int{64, 3, 7, 7}) {
						first = name
						if data, err := lazy.Read(); err != nil || len(data) != 9408 {
							t.Errorf("read %q: %d numbers, error %v", name, len(data), err)
						}
					}
				}
				got = append(got, candidate.Name+" "+strconv.Itoa(len(candidate.Tensors))+" "+first)
			}
			if !slices.Equal(got, want) {
				t.Errorf("candidates are %q, want %q", got, want)
			}
		})
	}
	t.Run("refuse-evil.pth.gz", func(t *testing.T) {
		t.Parallel()
		if _, err := Parse(unpacked(t, "refuse-evil.pth.gz")); err == nil || !strings.Contains(err.Error(), "calls posix.system") {
			t.Errorf("Parse: error %v, want one that names the call", err)
		}
		if _, err := os.Stat("PWNED-by-load"); err == nil {
			t.Error("the command in the file has been run")
		}
	})
}
