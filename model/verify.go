package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
)

// Report describes a weight file.
type Report struct {
	Path       string
	Bytes      int64
	Format     string // one of the weights.Format constants
	SHA256     string
	Identity   string            // name of the weights and first digits of the hash
	Tensors    int               // floating-point and int8 tensors
	Parameters int               // numbers in them
	Metadata   map[string]string // metadata of the file
	Spec       spec.Model        // classes, labels, head and preprocessing
	Sources    describe.Sources  // where the parts of Spec are from
	Golden     int               // number of golden pictures, which were checked
	Notes      []string          // what was assumed, or found and not used
}

// Verify reads a weight file as serving does, and checks its format (lengths, checksums), that every number is finite, and
// that the network can be made of it. The report has what was found before the first problem, which is the error.
func Verify(path string, o Options) (r Report, err error) {
	r.Path = path
	if info, err := os.Stat(path); err == nil {
		r.Bytes = info.Size()
	}
	set, err := Load(path, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	r.Format, r.SHA256, r.Identity = set.Format, set.SHA256, set.Identity()
	r.Tensors, r.Parameters = len(set.Tensors)+len(set.Int8), set.Parameters()
	r.Metadata = maps.Clone(set.Metadata)
	r.Spec, r.Sources, r.Notes = set.Spec, set.Sources, set.Notes
	if err := finite(set); err != nil {
		return r, err
	}
	if err := network(set); err != nil {
		return r, err
	}
	golden, err := GoldenOf(set.Metadata)
	if err != nil || len(golden) == 0 {
		return r, err
	}
	e, err := engine.New(engine.Config{Weights: set, Concurrency: 1})
	if err != nil {
		return r, err
	}
	defer e.Close()
	r.Golden = len(golden)
	return r, CheckGolden(context.Background(), e, golden)
}

// network makes what the engine packs from a set.
func network(set *weights.Set) (err error) {
	if len(set.Int8) > 0 {
		_, err = resnet.LoadQuantized(set)
	} else {
		_, err = resnet.Fold(set)
	}
	return err
}

// finite returns an error for the first number that is NaN or infinite.
func finite(set *weights.Set) error {
	for _, name := range slices.Sorted(maps.Keys(set.Tensors)) {
		for i, x := range set.Tensors[name].Data {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return fmt.Errorf("tensor %q: number %d is %v", name, i, x)
			}
		}
	}
	return nil
}
