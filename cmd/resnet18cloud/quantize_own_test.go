package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestQuantizeOwnModels quantizes models that people have on the user's pictures, and classifies with the results.
func TestQuantizeOwnModels(t *testing.T) {
	t.Parallel()
	own := testutil.Shared(t, "own")
	labels := []string{"cardboard", "glass", "metal", "paper", "plastic", "trash"}
	pictures := t.TempDir()
	for _, name := range []string{"metal/metal10.jpg", "glass/glass92.jpg", "cardboard/cardboard97.jpg"} {
		if err := os.Symlink(filepath.Join(own, "photos", "trash", name), filepath.Join(pictures, filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
	}
	photo := filepath.Join(own, "photos", "trash", "glass", "glass92.jpg")
	for file, test := range map[string]struct {
		args []string
		want []string // what verify prints of the result
	}{
		"tv-6.pth.gz": {[]string{"--labels", filepath.Join(own, "checkpoints", "labels", "synset_words.txt")},
			[]string{"mode=shorter,resize=256,crop=224,interpolation=bilinear"}},
		"timm-a3-160": {nil, []string{"resize=168,crop=160,interpolation=bicubic"}},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			exact, out := filepath.Join(own, "checkpoints", file), filepath.Join(t.TempDir(), "int8.safetensors")
			args := append([]string{"model", "quantize", "--model", exact, "--images", pictures, "--calibrate", "1", out}, test.args...)
			stdout, _, err := command(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			if want := "2 pictures: best label equal to fp32's for 100.0 %"; !strings.Contains(stdout, want) {
				t.Errorf("quantize printed %q, want it to contain %q", stdout, want)
			}
			stdout, _, err = command(t, "model", "verify", out)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range append(test.want, "classes     6\n", "cardboard, glass, metal, paper, plastic, ... 6 in all (metadata of the file)", "precision   int8\n", "OK\n") {
				if !strings.Contains(stdout, want) {
					t.Errorf("verify printed %q, want it to contain %q", stdout, want)
				}
			}
			best := map[string]float32{}
			for _, weights := range []string{exact, out} {
				args := []string{"classify", "--json", "--model", weights, photo}
				if weights == exact {
					args = append(args, test.args...)
				}
				stdout, _, err := command(t, args...)
				if err != nil {
					t.Fatal(err)
				}
				var line classification
				if err := json.Unmarshal([]byte(stdout), &line); err != nil {
					t.Fatal(err)
				}
				if len(line.Predictions) != 5 || !slices.Contains(labels, line.Predictions[0]) {
					t.Errorf("labels %q, want five of %q", line.Predictions, labels)
				}
				best[line.Predictions[0]]++
			}
			if len(best) != 1 {
				t.Errorf("the best labels of fp32 and int8 are %v", best)
			}
		})
	}
}
