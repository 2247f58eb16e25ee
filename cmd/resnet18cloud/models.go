//go:build !only_dispatcher

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/catalog"
	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/model"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// modelsFlags are the options of servers with several models.
type modelsFlags struct {
	Models          string  `help:"Folder of models instead of one: files NAME.safetensors or NAME@VERSION.safetensors, in any format of --model. The folder is followed: new files are checked and take over without a restart." type:"existingdir" placeholder:"DIR" env:"RESNET18_MODELS"`
	DefaultModel    string  `help:"With --models: the model for requests that name none. Default: the only one." placeholder:"NAME" env:"RESNET18_DEFAULT_MODEL"`
	MaxModels       int     `help:"With --models: maximum number of loaded models, about 130 MB each." default:"16" env:"RESNET18_MAX_MODELS"`
	Canary          percent `help:"With --models: share of requests on which a new version is compared with the one that serves, before it takes over or is rolled back. 0 means that it takes over at once." default:"0%" placeholder:"PERCENT" env:"RESNET18_CANARY"`
	CanaryLive      bool    `help:"With --canary: the new version answers these requests. Default: it classifies them in the background." env:"RESNET18_CANARY_LIVE"`
	CanaryAgreement percent `help:"With --canary: minimum share of pictures with the same best label." default:"90%" placeholder:"PERCENT" env:"RESNET18_CANARY_AGREEMENT"`
	CanaryState     string  `help:"With --canary: folder that remembers which versions were rolled back. Default: .rolled-back in the folder of models; if that is read-only, resnet18cloud/rolled-back in the user's cache folder." type:"path" placeholder:"DIR" env:"RESNET18_CANARY_STATE"`
}

func (f modelsFlags) rules() catalog.Rules {
	return catalog.Rules{Share: float64(f.Canary), Live: f.CanaryLive, Agreement: float64(f.CanaryAgreement)}
}

// args are the flags of another command with the same meaning.
func (f modelsFlags) args() []string {
	args := []string{"--models", f.Models, "--default-model", f.DefaultModel, "--max-models", strconv.Itoa(f.MaxModels), "--canary", f.Canary.String(),
		fmt.Sprintf("--canary-live=%t", f.CanaryLive), "--canary-agreement", f.CanaryAgreement.String()}
	if f.CanaryState != "" {
		args = append(args, "--canary-state", f.CanaryState)
	}
	return args
}

// check returns an error for options that do not go together: whose describes one model where a folder has several.
// A file of the environment is no such option: container images have one, and a folder replaces it.
func (f modelsFlags) check(file string, d describeFlags) error {
	if path, err := filepath.Abs(os.Getenv("RESNET18_MODEL")); err == nil && path == file {
		file = ""
	}
	one := cmp.Or(file, d.Labels, d.Preprocess, d.Activation)
	switch {
	case f.Models != "" && one != "":
		return errors.New("--models is a folder whose files describe themselves; leave out --model, --labels, --preprocess and --activation, " +
			"and give those to: resnet18cloud model convert")
	case f.Models == "" && (f.DefaultModel != "" || f.Canary != 0 || f.CanaryLive || f.CanaryState != ""):
		return errors.New("--default-model and --canary are for several models; add --models DIR")
	}
	return nil
}

// openCatalog loads the models of a folder. Those whose packed weights are shared use them, also later. The caller closes the catalog, also after an error, if it is not nil.
func openCatalog(ctx context.Context, f modelsFlags, e engineFlags, watch *observe.Config, shared []*os.File, env *environment) (*catalog.Catalog, error) {
	rollbacks, err := f.rollbacks(env.log)
	if err != nil {
		return nil, err
	}
	inferring := new(atomic.Int64)
	c, err := catalog.New(catalog.Config{Dir: f.Models, Default: f.DefaultModel, Rules: f.rules(), Rollbacks: rollbacks, MaxModels: f.MaxModels, Log: env.log,
		Open: func(ctx context.Context, path string) (catalog.Model, error) {
			watch := watch
			if watch != nil { // each model goes its own way to int8
				own := *watch
				own.Changed = logQuantization(env.log.With("file", filepath.Base(path)))
				watch = &own
			}
			one, err := e.open(ctx, path, watch, shared, inferring, env)
			if err != nil {
				return catalog.Model{}, err
			}
			info := one.Info()
			return catalog.Model{Classifier: one, Identity: info.Weights, Version: info.Model.Version, Classes: info.Model.Classes,
				Labels: len(one.Spec().Labels), Info: func() resnet18cloud.ModelInfo { return one.Info().Model }, Close: one.Close}, nil
		}})
	if err != nil {
		return nil, err
	}
	return c, c.Load(ctx)
}

// rollbacks is the folder that remembers which versions were rolled back. It is empty, with a warning, if there is no place for
// it, and without comparisons.
func (f modelsFlags) rollbacks(log *slog.Logger) (dir string, err error) {
	if f.Canary == 0 {
		return "", nil
	}
	if f.CanaryState != "" {
		if err := writable(f.CanaryState); err != nil {
			return "", fmt.Errorf("--canary-state: %w", err)
		}
		return f.CanaryState, nil
	}
	beside := filepath.Join(f.Models, ".rolled-back")
	err = writable(beside)
	if err == nil {
		return beside, nil
	}
	if dir, err := cachedRollbacks(f.Models); err == nil {
		log.Info("the folder of models is read-only; rollbacks are remembered elsewhere, for this machine alone", "folder", dir)
		return dir, nil
	}
	log.Warn("rollbacks are remembered until the next start only; give a folder with --canary-state", "error", err)
	return "", nil
}

// cachedRollbacks is a folder for the rollbacks of a folder of models, in the user's cache folder.
func cachedRollbacks(models string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	if models, err = filepath.Abs(models); err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "resnet18cloud", "rolled-back", fmt.Sprintf("%.8x", sha256.Sum256([]byte(models))))
	return dir, writable(dir)
}

// writable makes a folder if there is none, and returns an error if files cannot be written to it.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// defaultEngine is the engine of the default model. It may be closed, but describes itself.
func defaultEngine(c *catalog.Catalog) *engine.Engine {
	m, _ := c.ServingDefault()
	e, _ := m.Classifier.(*engine.Engine)
	return e
}

// serving is what a replica serves: one engine, or several in a catalog.
type serving struct {
	classifier resnet18cloud.Classifier
	models     replica.Models // nil if there is one
	engine     func() *engine.Engine
	run        func(context.Context) error // nil if there is nothing to run
	close      func()
}

// serving opens the model or the models.
func (c replicaCmd) serving(ctx context.Context, watch *observe.Config, env *environment) (serving, error) {
	if err := badUsage(c.modelsFlags.check(c.Model, c.describeFlags)); err != nil {
		return serving{}, err
	}
	shared := c.sharedWeights()
	if c.Models == "" {
		defer closeAll(shared)
		e, err := openEngine(ctx, c.engineFlags, watch, shared, env)
		if err != nil {
			return serving{}, err
		}
		return serving{classifier: e, engine: func() *engine.Engine { return e }, close: e.Close}, nil
	}
	several, err := openCatalog(ctx, c.modelsFlags, c.engineFlags, watch, shared, env)
	if err != nil {
		if several != nil {
			several.Close()
		}
		closeAll(shared)
		return serving{}, fmt.Errorf("load models: %w", err)
	}
	closeBoth := func() { several.Close(); closeAll(shared) }
	return serving{classifier: several, models: several, engine: func() *engine.Engine { return defaultEngine(several) }, run: several.Run, close: closeBoth}, nil
}

// runBeside runs a server, and what it needs until it has ended. beside may be nil.
func runBeside(ctx context.Context, server, beside func(context.Context) error) error {
	if beside == nil {
		return server(ctx)
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx)) // also while the server drains
	var g errgroup.Group
	g.Go(func() error { return beside(following) })
	err := server(ctx)
	stop()
	return errors.Join(err, g.Wait())
}

// checkGolden checks the golden pictures of a file's metadata.
func checkGolden(ctx context.Context, e *engine.Engine, metadata map[string]string) error {
	golden, err := model.GoldenOf(metadata)
	if err != nil {
		return err
	}
	return model.CheckGolden(ctx, e, golden)
}
