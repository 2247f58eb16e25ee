package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	model := testutil.Shared(t, "models", "resnet18-ktb.pth")
	goldfinch := testutil.Shared(t, "images", "imagenet-sample", "n01531178_goldfinch.JPEG")
	broken := filepath.Join(t.TempDir(), "broken.jpg")
	data, err := os.ReadFile(goldfinch)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, data[:5000], 0o600); err != nil {
		t.Fatal(err)
	}

	var stdout, stderr bytes.Buffer
	err = run(t.Context(), []string{"classify", "--json", "--model", model, broken, goldfinch, "missing.jpg"}, &stdout, &stderr)
	if !errors.Is(err, errReported) {
		t.Errorf("run: %v, want the status of a failed file", err)
	}
	var lines []classification
	for dec := json.NewDecoder(&stdout); dec.More(); {
		var line classification
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3", len(lines))
	}
	if lines[0].File != broken || lines[0].Error != "Not a decodable image: JPEG file is truncated" || lines[2].Error == "" {
		t.Errorf("lines of bad files: %+v, %+v", lines[0], lines[2])
	}
	got := lines[1]
	if strings.Join(got.Labels, ",") != "goldfinch,bulbul,magpie,chickadee,junco" || got.Indices[0] != 11 ||
		got.Error != "" || got.Inference <= 0 || got.Decode <= 0 || got.Preprocess <= 0 || got.Probabilities[0] < 0.9 {
		t.Errorf("goldfinch: %+v", got)
	}

	stdout.Reset()
	if err := run(t.Context(), []string{"classify", "--model", model, goldfinch}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "99.2 %  goldfinch") {
		t.Errorf("table:\n%s", stdout.String())
	}
}
