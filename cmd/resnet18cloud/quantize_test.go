package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestQuantize(t *testing.T) {
	t.Parallel()
	model := testutil.Shared(t, "models", "resnet18-ktb.pth")
	samples, err := filepath.Glob(filepath.Join(testutil.Shared(t, "images", "imagenet-sample"), "*.JPEG"))
	if err != nil || len(samples) == 0 {
		t.Fatalf("no images: %v", err)
	}
	dir := t.TempDir()
	for i := 0; i < len(samples); i += 100 {
		if err := os.Symlink(samples[i], filepath.Join(dir, filepath.Base(samples[i]))); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "int8.safetensors")
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"model", "quantize", "--model", model, "--images", dir, "--calibrate", "4", out}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`6 pictures: best label equal to fp32's for ([0-9.]+) %`).FindStringSubmatch(stdout.String())
	if match == nil {
		t.Fatalf("printed %q", stdout.String())
	}
	if equal, _ := strconv.ParseFloat(match[1], 64); equal < 80 { // one may differ
		t.Errorf("only %s %% of labels are equal", match[1])
	}

	stdout.Reset()
	goldfinch := testutil.Shared(t, "images", "imagenet-sample", "n01531178_goldfinch.JPEG")
	if err := run(t.Context(), []string{"classify", "--json", "--model", out, goldfinch}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	var line classification
	if err := json.Unmarshal(stdout.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.Predictions[0] != "goldfinch" || !slices.Contains(line.Predictions, "bulbul") {
		t.Errorf("int8 says %q", line.Predictions)
	}
}
