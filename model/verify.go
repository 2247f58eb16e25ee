package model

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
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
}

// Verify reads a weight file and checks its format (lengths, checksums) and that every number is finite. The report
// has what was found before the first problem, which is the error.
func Verify(path string) (r Report, err error) {
	r.Path = path
	if info, err := os.Stat(path); err == nil {
		r.Bytes = info.Size()
	}
	set, err := weights.Load(path)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	r.Format, r.SHA256, r.Identity = set.Format, set.SHA256, set.Identity()
	r.Tensors, r.Parameters = len(set.Tensors)+len(set.Int8), set.Parameters()
	r.Metadata = maps.Clone(set.Metadata)
	return r, finite(set)
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
