//go:build !only_replica && !only_dispatcher

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/resnet18cloud/resnet18cloud/catalog"
	"github.com/resnet18cloud/resnet18cloud/model"
)

// checkModels returns the files of the folder of models that replicas will load, and an error if they cannot serve it: it reads
// the files by the same rules, but makes no engines. Single files that cannot be served are left to the log of the replicas.
func (f modelsFlags) checkModels(ctx context.Context, precision string) (files []string, err error) {
	c, err := catalog.New(catalog.Config{Dir: f.Models, Default: f.DefaultModel, MaxModels: f.MaxModels,
		Open: func(_ context.Context, path string) (catalog.Model, error) {
			r, err := checkFile(path, model.Options{}, precision)
			return catalog.Model{Identity: r.Identity, Version: r.SHA256, Close: func() {}}, err
		}})
	if err != nil {
		return nil, badUsage(err)
	}
	defer c.Close()
	if err := c.Load(ctx); err != nil {
		return nil, fmt.Errorf("load models: %w", err)
	}
	for _, m := range c.Models().Models {
		if m.Identity != "" {
			files = append(files, filepath.Join(f.Models, m.File))
		}
	}
	return files, nil
}
