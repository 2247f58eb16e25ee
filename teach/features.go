package teach

import (
	"cmp"
	"context"
	"crypto/sha256"
	"os"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// Features is what a network has of pictures, one row for each.
type Features struct {
	Files []File
	// By has for each preprocessing the features of each file, and Pixels a hash of the network's input, which is equal
	// for equal pictures.
	By     [][][]float32
	Pixels [][][sha256.Size]byte
	// Skipped lists files that are no pictures, by path.
	Skipped []Skipped
}

// networkOf makes the network of a set in the precision of its weights.
func networkOf(set *weights.Set) (*resnet.Network, error) {
	if len(set.Int8) > 0 {
		q, err := resnet.LoadQuantized(set)
		if err != nil {
			return nil, err
		}
		return resnet.New(q, nil)
	}
	p, err := resnet.Fold(set)
	if err != nil {
		return nil, err
	}
	return resnet.New(p, nil)
}

// ways are the preprocessings to choose from: the network's own, and both sides squeezed to the size of the input, which sees
// the whole picture. Pictures are turned as their EXIF orientation says, as people see them.
func ways(own spec.Preprocess) []spec.Preprocess {
	own.Orient = true
	squash := own
	squash.Mode, squash.Resize = spec.Squash, own.Crop
	if own == squash {
		return []spec.Preprocess{own}
	}
	return []spec.Preprocess{own, squash}
}

// observer is one goroutine's part of a network.
type observer struct {
	runner   *resnet.Runner
	croppers []preprocess.Cropper
	logits   []float32
	input    preprocess.Input
}

// observe computes the features of files in a folder with all ways, each file by one of several goroutines. A file that
// cannot be read or decoded is skipped.
func observe(ctx context.Context, n *resnet.Network, root *os.Root, files []File, ways []spec.Preprocess, goroutines int, progress func(done, total int)) (*Features, error) {
	if goroutines < 1 {
		goroutines = runtime.GOMAXPROCS(0)
	}
	rows, reasons := make([][][]float32, len(files)), make([]string, len(files))
	pixels := make([][][sha256.Size]byte, len(files))
	var mu sync.Mutex // guards next and done, and calls of progress
	next, done := 0, 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1
	}
	g, ctx := errgroup.WithContext(ctx)
	for range min(goroutines, len(files)) {
		g.Go(func() error {
			o := newObserver(n, ways)
			defer o.runner.Close()
			for i := take(); i < len(files); i = take() {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if data, err := read(root, files[i].Path); err != nil {
					reasons[i] = err.Error()
				} else if rows[i], pixels[i], err = o.observe(data); err != nil {
					reasons[i] = err.Error()
				}
				mu.Lock()
				done++
				progress(done, len(files))
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	f := &Features{By: make([][][]float32, len(ways)), Pixels: make([][][sha256.Size]byte, len(ways))}
	for i, file := range files {
		if reasons[i] != "" {
			f.Skipped = append(f.Skipped, Skipped{file.Path, reasons[i]})
			continue
		}
		f.Files = append(f.Files, file)
		for w := range ways {
			f.By[w], f.Pixels[w] = append(f.By[w], rows[i][w]), append(f.Pixels[w], pixels[i][w])
		}
	}
	return f, nil
}

func newObserver(n *resnet.Network, ways []spec.Preprocess) *observer {
	o := &observer{runner: n.NewRunner(1), logits: make([]float32, n.Classes())}
	for _, way := range ways {
		o.croppers = append(o.croppers, preprocess.Cropper{Spec: way})
	}
	return o
}

// observe returns the features of a picture with each way, and the hash of the input.
func (o *observer) observe(data []byte) (rows [][]float32, pixels [][sha256.Size]byte, err error) {
	for i := range o.croppers {
		if err := o.croppers[i].Crop(&o.input, data); err != nil {
			return nil, nil, err
		}
		o.runner.Forward(o.logits, o.input)
		rows, pixels = append(rows, slices.Clone(o.runner.Features())), append(pixels, sha256.Sum256(o.input))
	}
	return rows, pixels, nil
}

// only is the features of one way.
func (f *Features) only(way int) *Features {
	return &Features{Files: f.Files, By: f.By[way : way+1], Pixels: f.Pixels[way : way+1], Skipped: f.Skipped}
}

// join returns the features of two sets of files by the same ways, in the order of paths.
func (f *Features) join(other *Features) *Features {
	type place struct {
		of *Features
		i  int
	}
	var places []place
	for _, f := range []*Features{f, other} {
		for i := range f.Files {
			places = append(places, place{f, i})
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		x, y := a.of.Files[a.i], b.of.Files[b.i]
		return cmp.Or(cmp.Compare(x.Class, y.Class), cmp.Compare(x.Path, y.Path))
	})
	all := &Features{By: make([][][]float32, len(f.By)), Pixels: make([][][sha256.Size]byte, len(f.By)), Skipped: slices.Concat(f.Skipped, other.Skipped)}
	for _, p := range places {
		all.Files = append(all.Files, p.of.Files[p.i])
		for w := range f.By {
			all.By[w], all.Pixels[w] = append(all.By[w], p.of.By[w][p.i]), append(all.Pixels[w], p.of.Pixels[w][p.i])
		}
	}
	slices.SortFunc(all.Skipped, func(a, b Skipped) int { return cmp.Compare(a.Path, b.Path) })
	return all
}

// classes is the class of each file.
func (f *Features) classes() []int {
	y := make([]int, len(f.Files))
	for i, file := range f.Files {
		y[i] = file.Class
	}
	return y
}
