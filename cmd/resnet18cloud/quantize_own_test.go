package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestInt8InFolder serves models of a folder in int8: one from a quantized file, and one that gets there on the pictures that it
// receives, without the others.
func TestInt8InFolder(t *testing.T) {
	t.Parallel()
	own := testutil.Shared(t, "own")
	exact := filepath.Join(own, "checkpoints", "tv-6.pth.gz")
	photos, err := filepath.Glob(filepath.Join(own, "photos", "trash", "*", "*.jpg"))
	if err != nil || len(photos) < 4 {
		t.Fatalf("%d photos, %v", len(photos), err)
	}
	dir, pictures := t.TempDir(), t.TempDir()
	for _, path := range photos[:2] {
		err = errors.Join(err, os.Symlink(path, filepath.Join(pictures, filepath.Base(path))))
	}
	for _, base := range []string{"a@1.pth.gz", "b.pth.gz"} {
		err = errors.Join(err, os.Symlink(exact, filepath.Join(dir, base)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := command(t, "model", "quantize", "--model", exact, "--images", pictures, "--calibrate", "1", filepath.Join(dir, "a@2.safetensors")); err != nil {
		t.Fatal(err)
	}
	var log testutil.Log
	env := &environment{log: slog.New(slog.NewTextHandler(&log, nil))}
	watch := &observe.Config{Pictures: 2, Agreement: 0.01}
	c, err := openCatalog(t.Context(), modelsFlags{Models: dir, DefaultModel: "a", MaxModels: 3}, engineFlags{Precision: "int8", Concurrency: 1}, watch, nil, env)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(model string, photo int) resnet18cloud.Result {
		data, err := os.ReadFile(photos[photo%len(photos)])
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Classify(t.Context(), resnet18cloud.Image{Bytes: data, Want: resnet18cloud.Want{Model: model}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask("a", 0); r.Precision != "int8" {
		t.Errorf("the quantized file answers in %s", r.Precision)
	}
	deadline := time.Now().Add(3 * time.Minute)
	for i := 0; ask("b", i).Precision != "int8"; i++ {
		if time.Now().After(deadline) {
			t.Fatalf("b is not in int8 after %d pictures:\n%s", i, log.String())
		}
	}
	if r := ask("a@1", 0); r.Precision != "fp32" {
		t.Errorf("a version that has seen one picture answers in %s", r.Precision)
	}
	if lines := log.Lines("quantization: adopted"); len(lines) != 1 || !strings.Contains(lines[0], "file=b.pth.gz") {
		t.Errorf("the log has %q, want that b has adopted int8", lines)
	}
}

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
