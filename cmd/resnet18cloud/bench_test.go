package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/measure"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestDisturbed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		low, high time.Duration
		share     float64
		want      bool
	}{{10, 11, 2, false}, {10, 11, 3.9, false}, {10, 16, 2, true}, {10, 11, 7, true}} {
		n := measure.Network{Peak: 10, Pass: measure.Spread{Low: test.low, High: test.high}, Layers: []measure.Layer{{GMACs: 10 * test.share}}}
		if got := disturbed(n); got != test.want {
			t.Errorf("disturbed(%+v) = %t", test, got)
		}
	}
}

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
