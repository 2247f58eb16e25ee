package model

import (
	"fmt"
	"io"
	"os"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
)

// Options are what a user says of a model whose files say nothing, or something else. The zero value is what the files say.
type Options struct {
	Labels     string // file with the names of the classes, in a form of [describe.Labels]
	Preprocess string // text for [spec.ParsePreprocess]
	Activation string // a [spec.Activation]
}

// Load reads a weight file or a folder with one. The set's description is complete and checked. Close the set.
func Load(path string, o Options) (*weights.Set, error) {
	d := describe.Options{Preprocess: o.Preprocess, Activation: spec.Activation(o.Activation)}
	if o.Labels != "" {
		labels, err := readLabels(o.Labels)
		if err != nil {
			return nil, err
		}
		d.Labels = labels
	}
	return weights.LoadAs(path, d)
}

func readLabels(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, describe.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	labels, err := describe.Labels(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return labels, nil
}
