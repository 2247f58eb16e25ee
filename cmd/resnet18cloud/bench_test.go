package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestBench(t *testing.T) {
	t.Parallel()
	model := testutil.Shared(t, "models", "resnet18-ktb.pth")
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"bench", "--json", "--count", "1", "--batch", "1,3", "--threads", "2", "--model", model}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	var got benchmark
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Networks) != 4 || got.Weights == "random" {
		t.Fatalf("bench printed %+v", got)
	}
	for i, n := range got.Networks {
		want := []string{"fp32", "fp32", "int8", "int8"}[i]
		if n.Precision != want || n.Batch != 1+2*(i%2) || n.Threads != 2 || n.Pass.Median <= 0 || (len(n.Layers) == 21) != (n.Batch == 1) {
			t.Errorf("network %d: %+v", i, n)
		}
	}
	stdout.Reset()
	if err := run(t.Context(), []string{"bench", "--count", "1", "--threads", "2", "--precision", "fp32", "--model", model, "--preprocess", "crop=128"}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "layer4.1.conv2") {
		t.Errorf("table:\n%s", stdout.String())
	}
}
