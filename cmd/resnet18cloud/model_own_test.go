package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// TestOwnModelCommands converts models that people have, and checks what is printed of the result.
func TestOwnModelCommands(t *testing.T) {
	t.Parallel()
	own := testutil.Shared(t, "own", "checkpoints")
	labels := filepath.Join(own, "labels", "synset_words.txt")
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.safetensors")
	for _, step := range []struct {
		args    []string
		want    []string
		problem string
	}{
		{args: []string{"model", "convert", filepath.Join(own, "tv-6.pth.gz"), mine, "--labels", labels, "--preprocess", "resize=235,interpolation=bicubic", "--activation", "sigmoid"},
			want: []string{"wrote " + mine, "sigmoid (options)", "6 in all (options)", "serve       resnet18cloud up --model " + mine}},
		{args: []string{"model", "verify", mine}, want: []string{"network     ResNet-18\n", "1 layer, 6 outputs, sigmoid (metadata of the file)", "classes     6\n",
			"labels      cardboard, glass, metal, paper, plastic, ... 6 in all (metadata of the file)", "mode=shorter,resize=235,crop=224,interpolation=bicubic,center=round", "OK\n"}},
		{args: []string{"model", "convert", mine, filepath.Join(dir, "named.safetensors"), "--name", "trash"}, want: []string{"wrote "}},
		{args: []string{"model", "verify", filepath.Join(dir, "named.safetensors")}, want: []string{"identity    trash@", "labels      cardboard, glass"}},
		{args: []string{"model", "convert", mine, filepath.Join(dir, "named.safetensors"), "--name", "a b"}, problem: "want up to 64 letters"},
		{args: []string{"model", "verify", filepath.Join(own, "hf-resnet-18")}, want: []string{"center=floor", "(config.json)", "(preprocessor_config.json)", "OK\n"}},
		{args: []string{"model", "convert", filepath.Join(own, "head-mlp.pth.gz"), filepath.Join(dir, "mlp")}, want: []string{"2 layers with ReLU between", "note        "}},
		{args: []string{"model", "verify", filepath.Join(own, "tv-6.pth.gz")}, want: []string{"labels      unknown; give them with --labels FILE", "(assumed)"}},
		{args: []string{"model", "convert", filepath.Join(own, "tv-6.pth.gz"), mine, "--labels", filepath.Join(own, "labels", "bad-5-lines.txt")}, problem: "5 labels for 6 classes"},
		{args: []string{"model", "convert", filepath.Join(own, "tv-6.pth.gz"), mine, "--preprocess", "crop=100"}, problem: "input of 100 pixels, want a multiple of 32 from 128 to 320"},
		{args: []string{"model", "convert", mine, filepath.Join(dir, "mine.pth")}, problem: "give it a name such as mine.safetensors"},
		{args: []string{"classify", "--model", mine, "--activation", "tanh", "x.jpg"}, problem: "--activation must be one of"},
	} {
		stdout, _, err := command(t, step.args...)
		if step.problem != "" {
			if err == nil || !strings.Contains(err.Error(), step.problem) {
				t.Errorf("%v: error %v, want one with %q", step.args, err, step.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", step.args, err)
		}
		for _, want := range step.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v printed %q, want it to contain %q", step.args, stdout, want)
			}
		}
	}
	if info, err := os.Stat(mine); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("converted file: %v, %v", info, err)
	}
}

// TestDescribeFlagsPassOn checks that the arguments which up gives its replicas mean the same.
func TestDescribeFlagsPassOn(t *testing.T) {
	t.Parallel()
	want := describeFlags{Labels: "/a/labels.txt", Preprocess: "transformers,crop=160", Activation: "sigmoid"}
	var got describeFlags
	parser, err := kong.New(&got, modelVars())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(want.args()); err != nil || got != want {
		t.Errorf("%v are %+v, %v, want %+v", want.args(), got, err, want)
	}
	if args := (describeFlags{}).args(); args != nil {
		t.Errorf("no flags are %v", args)
	}
}
