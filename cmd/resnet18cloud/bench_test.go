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
	if err := run(t.Context(), []string{"bench", "--json", "--count", "1", "--model", model}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	var got benchmark
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Networks) != 1 || got.Networks[0].Pass.Median <= 0 || len(got.Networks[0].Layers) != 21 || got.Weights == "random" {
		t.Errorf("bench printed %+v", got)
	}
	stdout.Reset()
	if err := run(t.Context(), []string{"bench", "--count", "1", "--model", model}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "layer4.1.conv2") {
		t.Errorf("table:\n%s", stdout.String())
	}
}
