package teach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/model"
)

// Config says what [Teach] reads and writes. Dir, Model and Out must be given.
type Config struct {
	Dir     string        // folder with one folder for each class
	Model   string        // weight file of the network that makes the features
	Options model.Options // what its files do not say
	Out     string        // safetensors file to write
	Report  string        // HTML file to write; empty means none
	Export  string        // PyTorch checkpoint to write, with its labels beside it: see [LabelsBeside]; empty means none
	Name    string        // of the model, as model.CheckName wants it; empty means that of Out without its ending
	Seed    uint64        // of the folds
	// Concurrency is the number of pictures to work on at a time. 0 means the number of CPUs.
	Concurrency int
	// Progress, if set, is called after each picture, by one goroutine at a time.
	Progress func(done, total int)
}

// Teach makes a model of a folder of pictures. Files are written when all is known, each whole or not at all.
func Teach(ctx context.Context, c Config) (l *Lesson, err error) {
	if c.Name != "" {
		if err := model.CheckName(c.Name); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of pictures: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	pictures, err := find(root.FS())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Dir, err)
	}
	backbone, err := model.Load(c.Model, c.Options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, backbone.Close()) }()
	network, err := networkOf(backbone)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Model, err)
	}
	before := 0 // pictures of earlier calls
	s := study{pictures: pictures, ways: ways(backbone.Spec.Preprocess), seed: c.Seed, cpus: c.Concurrency, export: c.Export != ""}
	s.observe = func(ctx context.Context, files []File, ways []spec.Preprocess) (*Features, error) {
		defer func(n int) { before += n }(len(files))
		return observe(ctx, network, root, files, ways, c.Concurrency, func(done, _ int) {
			if c.Progress != nil {
				c.Progress(before+done, len(pictures.Files))
			}
		})
	}
	if l, err = s.run(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Dir, err)
	}
	if c.Name == "" {
		base := filepath.Base(c.Out)
		c.Name = base[:len(base)-len(filepath.Ext(base))]
	}
	content, err := l.content(backbone, c.Name, c.Seed)
	if err != nil {
		return nil, fmt.Errorf("describe the model: %w", err)
	}
	if c.Report != "" {
		page, err := l.page(root, c.Name, backbone.Identity())
		if err != nil {
			return nil, fmt.Errorf("write report: %w", err)
		}
		if err := model.WriteFile(c.Report, func(w io.Writer) error { _, err := w.Write(page); return err }); err != nil {
			return nil, fmt.Errorf("write report: %w", err)
		}
	}
	if c.Export != "" {
		if err := l.writeExport(c.Export, backbone); err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
	}
	return l, model.Save(c.Out, content)
}
