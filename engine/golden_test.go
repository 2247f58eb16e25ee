package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// golden is one line of testdata/golden.jsonl: a picture and the digests of what Pillow decodes and torchvision crops.
type golden struct {
	File          string
	Width, Height int
	RGB           string `json:"sha256_rgb"`
	Crop          string `json:"sha256_crop"`
}

// TestGolden compares decoding and preprocessing with Pillow and torchvision bit for bit, and the logits of an engine
// on random weights with torchvision's. testdata/generate.py wrote the answers.
func TestGolden(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "logits.f32"))
	if err != nil {
		t.Fatal(err)
	}
	logits := make([][imagenet.Classes]float32, len(data)/binary.Size([imagenet.Classes]float32{}))
	if _, err := binary.Decode(data, binary.LittleEndian, logits); err != nil {
		t.Fatal(err)
	}
	e := takeRandom(t, 1)
	var decoder decode.Decoder
	var resizer preprocess.Resizer
	answers := testutil.Lines[golden](t, filepath.Join("testdata", "golden.jsonl"))
	for i, g := range answers {
		t.Run(g.File, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", g.File))
			if err != nil {
				t.Fatal(err)
			}
			picture, err := decoder.Decode(data, decode.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if picture.Width != g.Width || picture.Height != g.Height || digest(rows(picture)) != g.RGB {
				t.Errorf("%d x %d pixels with SHA-256 %s, want %d x %d with %s",
					picture.Width, picture.Height, digest(rows(picture)), g.Width, g.Height, g.RGB)
			}
			var crop preprocess.Input
			resizer.Crop(&crop, picture.Pix, picture.Stride, picture.Width, picture.Height)
			if digest(crop) != g.Crop {
				t.Errorf("SHA-256 of the crop %s, want %s", digest(crop), g.Crop)
			}
			var got [imagenet.Classes]float32
			if _, err := e.Logits(t.Context(), resnet18cloud.Image{Bytes: data}, got[:]); err != nil {
				t.Fatal(err)
			}
			for class, want := range logits[i] {
				if math.Abs(float64(got[class]-want)) > 2e-4 {
					t.Fatalf("logit %d is %g, want %g", class, got[class], want)
				}
			}
		})
	}
	if len(answers) != len(logits) {
		t.Errorf("%d pictures, logits of %d", len(answers), len(logits))
	}
}

// rows are a picture's pixels without what lies between rows.
func rows(p decode.RGB) (pix []byte) {
	for y := range p.Height {
		pix = append(pix, p.Pix[y*p.Stride:][:3*p.Width]...)
	}
	return pix
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
