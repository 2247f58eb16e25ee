package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// ownQuick are the files that tests without the tag slow compute with: one for each kind of head and preprocessing.
var ownQuick = []string{
	"tv-6.pth.gz", "fastai.pth.gz", "head-mlp.pth.gz", "hf-resnet-18/model.safetensors.gz", "timm-a3-160/model.safetensors.gz",
	"dino.pth.gz", "onnx-folded.onnx.gz",
}

// ownExpectation is a line of expectations.jsonl: what PyTorch computed with a file, by photo.
type ownExpectation struct {
	File       string
	Load, Head string
	Input      map[string]string    `json:"input_sha256"`
	Logits     map[string][]float64 `json:"logits"` // the first ten
	First      map[string][]float64 `json:"embedding_first8"`
}

// TestOwnModels checks inputs and outputs of models that are not torchvision's: inputs bit by bit, logits and features
// within 1e-3.
func TestOwnModels(t *testing.T) {
	t.Parallel()
	for _, want := range testutil.Lines[ownExpectation](t, testutil.Shared(t, "own", "expectations.jsonl")) {
		if want.Load == "refuse" || want.Load == "either" || !slow && !slices.Contains(ownQuick, want.File) {
			continue
		}
		t.Run(want.File, func(t *testing.T) {
			t.Parallel()
			checkOwn(t, want)
		})
	}
}

func checkOwn(t *testing.T, want ownExpectation) {
	set, err := weights.Load(testutil.Shared(t, append([]string{"own", "checkpoints"}, strings.Split(want.File, "/")...)...))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	e := open(t, Config{Weights: set, Concurrency: 1})
	for photo, sum := range want.Input {
		file, err := os.ReadFile(testutil.Shared(t, append([]string{"own"}, strings.Split(photo, "/")...)...))
		if err != nil {
			t.Fatal(err)
		}
		var input preprocess.Input
		if err := (&preprocess.Cropper{Spec: e.Spec().Preprocess}).Crop(&input, file); err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(input); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s: input differs from Pillow's", photo)
		}
		image := resnet18cloud.Image{Name: photo, Bytes: file}
		got, wanted := make([]float32, e.Spec().Head.Classes), want.Logits[photo]
		if want.Load == "embedding" {
			got, _, err = e.Embed(t.Context(), image)
			wanted = want.First[photo]
		} else {
			_, err = e.Logits(t.Context(), image, got)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(wanted) == 0 || len(got) < len(wanted) {
			t.Fatalf("%s: %d numbers, want at least the %d that are known", photo, len(got), len(wanted))
		}
		if want.Head == "named" {
			got = logSoftmax(got) // the layer at the end of its head
		}
		for i, w := range wanted {
			if d := math.Abs(float64(got[i]) - w); !(d <= 1e-3) {
				t.Errorf("%s: output %d is %v, want %v", photo, i, got[i], w)
			}
		}
	}
	if classes := e.Spec().Head.Classes; want.Load == "embedding" && e.Spec().Head.Activation != spec.None && classes != 0 {
		t.Errorf("%d classes, want none", classes)
	}
}

// logSoftmax returns the logarithms of the probabilities.
func logSoftmax(logits []float32) []float32 {
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x))
	}
	out := make([]float32, len(logits))
	for i, x := range logits {
		out[i] = float32(float64(x) - math.Log(sum))
	}
	return out
}
