// Package catalog holds the models of a folder, one file for each, while files come, change and go. A [Catalog] is a
// Classifier: it gives each image to the model that the request names, wholly. A model that is replaced answers what it
// has begun, and is closed when that has ended, so no request fails for a swap.
//
// A file that cannot be loaded changes nothing. A new version of a model may be compared with the one that serves before
// it takes over: see [Rules]. What to do with a folder, and with a version that is compared, are pure functions: plan and
// judge. The engines that compute are made by Config.Open, so that this package knows nothing of them.
package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/reread"
)

// Config configures a [Catalog]. Dir and Open are required.
type Config struct {
	// Dir is the folder. Files in it are replaced by renaming others over them, or by copying.
	Dir string
	// Default is the name of the model for requests that name none. Empty means the only one there is at the start.
	Default string
	// Open loads and checks the model of a file. Its time and memory are those of one model at a time.
	Open func(ctx context.Context, path string) (Model, error)
	// Rules say when a new version takes over.
	Rules Rules
	// Rollbacks is the folder, which exists, where versions are noted that were compared and did not take over. Catalogs may
	// share it if they share Dir. Empty means that they are forgotten with the catalog.
	Rollbacks string
	// MaxModels limits the loaded models, because each takes memory. Zero means DefaultMaxModels.
	MaxModels int
	// Log receives what happens to models. Nil discards it.
	Log *slog.Logger
}

// DefaultMaxModels is the default limit on loaded models: 16 take up to 2.3 GB.
const DefaultMaxModels = 16

// Model is a model that Config.Open has loaded.
type Model struct {
	Classifier resnet18cloud.Classifier
	Identity   string // as in resnet18cloud.Result.Model
	Version    string // hash in hex, of at least eight digits
	Classes    int    // 0 if the model has features only
	Labels     int    // classes that have names
	// Info describes the model as its results do now, for people. It must be fast. Nil means that nobody can.
	Info  func() resnet18cloud.ModelInfo
	Close func() // frees its memory; called once, when no request uses the model any more
}

// entry is a loaded model.
type entry struct {
	Model
	file    file
	version string        // by the file's name, else the first digits of the hash
	users   int           // guarded by Catalog.mu: requests that hold the entry, and one for the catalog
	idle    chan struct{} // closed when users is 0
}

// id is what a request may name: "trash@2".
func (e *entry) id() string { return e.file.name + "@" + e.version }

// place is what is known of a file of the folder.
type place struct {
	file
	entry  *entry // nil if it is not loaded
	state  resnet18cloud.ModelState
	reason string
	canary *resnet18cloud.Canary // of a version that was compared
	hash   string                // Model.Version of what was rolled back
	kept   bool                  // its rollback has a file
	waits  bool                  // to be compared when the newer version has been
}

// Catalog holds the models. Make it with [New], then call Load, Run and Close once each. All other methods are safe for
// concurrent use from Load's return until Close.
type Catalog struct {
	cfg       Config
	rollbacks rollbacks
	pairs     chan pair // pictures that are to be classified by the other version
	closing   sync.WaitGroup

	loading sync.Mutex // held while the folder is read and models are loaded; before mu
	before  look       // guarded by loading: the previous look

	mu       sync.Mutex
	loaded   bool                // guarded by mu: Load has returned
	fallback string              // guarded by mu: name of the default model
	places   map[string]*place   // guarded by mu: by file name
	serving  map[string]*entry   // guarded by mu: what each name stands for
	trials   map[string]*trial   // guarded by mu: comparisons by name
	held     map[*entry]struct{} // guarded by mu: loaded models that have not been retired
	last     *entry              // guarded by mu: the default model when Close was called
	problem  string              // guarded by mu: why the folder could not be read
}

// New returns a catalog. It reads nothing.
func New(cfg Config) (*Catalog, error) {
	cfg.Rules = cfg.Rules.withDefaults()
	cfg.MaxModels = cmp.Or(cfg.MaxModels, DefaultMaxModels)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if err := cfg.Rules.Validate(); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	if cfg.Dir == "" || cfg.Open == nil || cfg.MaxModels < 1 {
		return nil, errors.New("catalog: want a folder, a way to open models, and room for at least one")
	}
	return &Catalog{cfg: cfg, rollbacks: rollbacks{cfg.Rollbacks}, pairs: make(chan pair, maxPairs), fallback: cfg.Default,
		places: map[string]*place{}, serving: map[string]*entry{}, trials: map[string]*trial{}, held: map[*entry]struct{}{}}, nil
}

// Load loads the models of the folder. Files that cannot be loaded are in the log and the list, and the others serve. It returns
// an error if there is no default model to serve: no file can be loaded, none of the default's can, or nobody said which of
// several models it is, of which those that cannot be loaded count too, so that a broken file does not change what clients get.
// The caller calls Close in any case.
func (c *Catalog) Load(ctx context.Context) error {
	refused := c.Reload(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if refused != nil && (ctx.Err() != nil || c.problem != "") {
		return refused
	}
	c.loaded = true
	all := map[string][]error{} // what was refused, by name
	for _, p := range c.places {
		if p.name != "" && c.serving[p.name] == nil {
			all[p.name] = append(all[p.name], fmt.Errorf("%s: %s", p.base, p.reason))
		}
	}
	for name := range c.serving {
		all[name] = nil
	}
	names := slices.Sorted(maps.Keys(all))
	switch {
	case len(c.places) == 0:
		return fmt.Errorf("folder %s has no models, want files such as NAME.safetensors or NAME@VERSION.safetensors", c.cfg.Dir)
	case len(c.serving) == 0:
		return fmt.Errorf("no model of folder %s can be served: %w", c.cfg.Dir, refused)
	case c.fallback == "" && len(names) > 1:
		return fmt.Errorf("folder %s has several models (%s); say with --default-model which one requests get that name none", c.cfg.Dir, strings.Join(names, ", "))
	case c.fallback == "":
		c.fallback = names[0]
	case all[c.fallback] != nil:
		return fmt.Errorf("the default model %s cannot be served: %w", c.fallback, errors.Join(all[c.fallback]...))
	case c.serving[c.fallback] == nil:
		return fmt.Errorf("folder %s has no model %q, the default; it has %s", c.cfg.Dir, c.fallback, strings.Join(names, ", "))
	}
	return nil
}

// Run follows the folder until ctx ends.
func (c *Catalog) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		reread.Every(ctx, func(time.Time) {
			_ = c.update(ctx, false) // it is in the log and the list
		})
		return nil
	})
	g.Go(func() error {
		c.compare(ctx)
		return nil
	})
	return g.Wait()
}

// Reload reads the folder now, and tries refused files again, and those whose rollbacks have been removed. The error names the
// files that were refused; the other ones are loaded. It is ctx's if that ends first.
func (c *Catalog) Reload(ctx context.Context) error { return c.update(ctx, true) }

// Close waits for the requests in progress and closes all models. Requests that come later are answered that there is no model.
func (c *Catalog) Close() {
	c.mu.Lock()
	if e := c.serving[c.fallback]; e != nil {
		c.last = e
	}
	clear(c.places)
	clear(c.serving)
	clear(c.trials)
	c.sweep()
	c.mu.Unlock()
	c.dropPairs()
	c.closing.Wait()
}

// update brings the models up to date with the folder.
func (c *Catalog) update(ctx context.Context, now bool) error {
	c.loading.Lock()
	defer c.loading.Unlock()
	files, problems, err := list(c.cfg.Dir)
	if err != nil {
		c.report(ctx, err)
		return err
	}
	c.report(ctx, nil)
	found := look{}
	for _, f := range files {
		found[f.base] = f
	}
	var refused []error
	for base, err := range problems {
		refused = append(refused, c.refuse(ctx, file{base: base}, err.Error()))
	}
	forgiven := map[string]bool{}
	if now {
		forgiven = c.forgiven()
	}
	for _, a := range plan(found, c.before, c.known(now, forgiven, problems), now) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch a.kind {
		case load:
			refused = append(refused, c.load(ctx, a.file, false))
		case drop:
			c.drop(ctx, a.file)
		case refuse:
			refused = append(refused, c.refuse(ctx, a.file, a.reason))
		}
	}
	c.before = found
	refused = append(refused, c.revive(ctx)...)
	c.follow(ctx)
	return errors.Join(refused...)
}

// report logs that the folder cannot be read, or can be again.
func (c *Catalog) report(ctx context.Context, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	c.mu.Lock()
	changed := c.problem != text
	c.problem = text
	c.mu.Unlock()
	switch {
	case changed && err != nil:
		c.cfg.Log.ErrorContext(ctx, "models cannot be followed; they stay as they are", "error", err)
	case changed:
		c.cfg.Log.InfoContext(ctx, "models can be followed again")
	}
}

// known returns the files for plan. Those that are to be tried again have no stamp; those with problems are looked at
// elsewhere.
func (c *Catalog) known(again bool, forgiven map[string]bool, problems map[string]error) map[string]file {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := map[string]file{}
	for base, p := range c.places {
		if _, ok := problems[base]; ok {
			continue
		}
		f := p.file
		if again && p.state == resnet18cloud.ModelRefused || forgiven[base] {
			f.stamp = stamp{}
		}
		known[base] = f
	}
	return known
}

// refuse notes that a file is not loaded. What was loaded from it before stays.
func (c *Catalog) refuse(ctx context.Context, f file, reason string) error {
	c.mu.Lock()
	old := c.places[f.base]
	same := old != nil && old.state == resnet18cloud.ModelRefused && old.stamp == f.stamp && old.reason == reason
	p := &place{file: f, state: resnet18cloud.ModelRefused, reason: reason}
	if t := c.trials[f.name]; old != nil && (t == nil || t.place != old) {
		p.entry = old.entry // the content before stays
	}
	c.places[f.base] = p
	c.endTrials(ctx)
	c.sweep()
	c.mu.Unlock()
	if !same {
		c.cfg.Log.ErrorContext(ctx, "model refused", "file", f.base, "reason", reason)
	}
	return fmt.Errorf("%s: %s", f.base, reason)
}

// load loads a file and lets it take over, or be compared first. What was rolled back is loaded only with anyway.
func (c *Catalog) load(ctx context.Context, f file, anyway bool) error {
	if !c.room(f) {
		return c.refuse(ctx, f, fmt.Sprintf("%d models are loaded, the limit; remove files or raise --max-models", c.cfg.MaxModels))
	}
	path := filepath.Join(c.cfg.Dir, f.base)
	m, err := c.cfg.Open(ctx, path)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		reason := err.Error()
		if _, after, ok := strings.Cut(reason, path+": "); ok {
			reason = after // beside the file's name
		}
		return c.refuse(ctx, f, strings.ReplaceAll(reason, c.cfg.Dir+string(filepath.Separator), "")) // clients see it
	}
	e := &entry{Model: m, file: f, version: cmp.Or(f.version, m.Version[:8]), users: 1, idle: make(chan struct{})}
	r, rolledBack := c.rolledBack(e)
	p := &place{file: f, entry: e, state: resnet18cloud.ModelLoaded}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[e] = struct{}{}
	c.places[f.base] = p
	serving := c.serving[f.name]
	switch {
	case rolledBack && !anyway:
		c.rollBack(p, r, true)
		c.cfg.Log.WarnContext(ctx, "model is not used: it was rolled back", "file", f.base, "reason", r.String())
	case serving == nil && anyway:
		c.serve(ctx, p, "the only version, although it was rolled back: "+r.String())
	case serving == nil:
		c.serve(ctx, p, "first version")
	case serving.Identity == e.Identity && serving.file.base == f.base: // the same content again
		c.serving[f.name] = e
	case f.base != serving.file.base && c.places[serving.file.base] != nil && compareVersions(f.version, serving.file.version) < 0:
		c.cfg.Log.InfoContext(ctx, "model loaded", "model", e.id(), "serving", serving.id())
	case c.cfg.Rules.Share == 0 || !c.loaded:
		c.serve(ctx, p, "newer version")
	case serving.Classes == 0 || e.Classes == 0:
		c.serve(ctx, p, "newer version; features cannot be compared")
	default:
		c.try(ctx, p, serving)
	}
	c.endTrials(ctx)
	c.sweep()
	return nil
}

// try begins to compare a version with the one that serves. Of several new versions the newest is compared first. The caller
// holds mu.
func (c *Catalog) try(ctx context.Context, p *place, serving *entry) {
	if t := c.trials[p.name]; t != nil && c.places[t.place.base] == t.place && t.place != p {
		if compareVersions(p.version, t.place.version) < 0 {
			c.postpone(ctx, p, t.place.entry.version)
			return
		}
		t.place.canary = t.status()
		c.postpone(ctx, t.place, p.entry.version)
	}
	c.trials[p.name] = &trial{place: p, against: serving}
	p.waits, p.reason, p.canary = false, "", nil
	c.cfg.Log.InfoContext(ctx, "model is being compared", "model", p.entry.id(), "against", serving.id(), "share", c.cfg.Rules.Share)
}

// postpone has a version wait for the comparison of a newer one. The caller holds mu.
func (c *Catalog) postpone(ctx context.Context, p *place, newer string) {
	p.waits, p.reason = true, fmt.Sprintf("not decided: version %s is newer and is compared first", newer)
	c.cfg.Log.InfoContext(ctx, "model waits for its comparison", "model", p.entry.id(), "reason", p.reason)
}

// room reports whether one more model may be loaded. What a file replaces counts too, because both are loaded for a time.
func (c *Catalog) room(f file) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.held)
	if p := c.places[f.base]; p != nil && p.entry != nil {
		n-- // replacing must not need more than starting did
	}
	return n < c.cfg.MaxModels
}

// serve makes a model the one that its name stands for. The caller holds mu.
func (c *Catalog) serve(ctx context.Context, p *place, reason string) {
	old := c.serving[p.name]
	c.serving[p.name] = p.entry
	p.reason = reason
	if old != nil {
		if before := c.places[old.file.base]; before != nil && before.entry == old {
			before.reason = fmt.Sprintf("version %s took over", p.entry.version)
		}
	}
	if old == nil {
		c.cfg.Log.InfoContext(ctx, "model serves", "model", p.entry.id(), "weights", p.entry.Identity, "reason", reason)
		return
	}
	c.cfg.Log.InfoContext(ctx, "model serves", "model", p.entry.id(), "weights", p.entry.Identity, "instead_of", old.id(), "reason", reason)
}

// drop unloads a file that is gone. If it served, the newest remaining version does. The default model stays without
// its file if there is no other version: a service without a model would answer nothing.
func (c *Catalog) drop(ctx context.Context, f file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.places[f.base]
	delete(c.places, f.base)
	if p == nil {
		return
	}
	if serving := c.serving[f.name]; serving != nil && serving.file.base == f.base {
		next := c.newest(f.name, nil)
		switch {
		case next != nil:
			c.serve(ctx, next, f.base+" was removed")
		case f.name == c.fallback:
			c.cfg.Log.WarnContext(ctx, "the default model stays in service without its file", "model", serving.id())
		default:
			delete(c.serving, f.name)
		}
	}
	c.endTrials(ctx)
	c.sweep()
	c.cfg.Log.InfoContext(ctx, "model removed", "file", f.base)
}

// newest returns the newest loaded version of a model other than not, nil if there is none. One that is still being compared
// comes after all others. The caller holds mu.
func (c *Catalog) newest(name string, not *place) (newest *place) {
	compared := func(p *place) bool { t := c.trials[name]; return t != nil && t.place == p }
	for _, p := range c.places {
		if p.name != name || p.entry == nil || p == not {
			continue
		}
		if newest == nil || compared(newest) || !compared(p) && compareVersions(p.version, newest.version) > 0 {
			newest = p
		}
	}
	return newest
}

// endTrials ends comparisons of models that are no longer those of their files, and begins those that have waited. Where
// another version serves now, the comparison begins again with that. The caller holds mu.
func (c *Catalog) endTrials(ctx context.Context) {
	for name, t := range c.trials {
		p, serving := t.place, c.serving[name]
		switch {
		case c.places[p.base] != p || p.entry == nil || serving == p.entry:
			delete(c.trials, name)
		case serving != t.against:
			delete(c.trials, name)
			p.waits = true
		}
	}
	next := map[string]*place{}
	for _, p := range c.places {
		serving := c.serving[p.name]
		switch {
		case !p.waits || c.trials[p.name] != nil:
		case p.entry == nil || serving == nil || serving == p.entry || serving.Classes == 0 ||
			p.base != serving.file.base && compareVersions(p.version, serving.file.version) < 0:
			p.waits = false // nothing to compare, or nothing to compare it for
		case next[p.name] == nil || compareVersions(p.version, next[p.name].version) > 0:
			next[p.name] = p
		}
	}
	for name, p := range next {
		c.try(ctx, p, c.serving[name])
	}
}

// sweep retires the loaded models that nothing stands for any more. The caller holds mu.
func (c *Catalog) sweep() {
	used := map[*entry]struct{}{}
	for _, e := range c.serving {
		used[e] = struct{}{}
	}
	for _, p := range c.places {
		if p.entry != nil {
			used[p.entry] = struct{}{}
		}
	}
	for e := range c.held {
		if _, ok := used[e]; ok {
			continue
		}
		delete(c.held, e)
		c.release(e)
		c.closing.Go(func() {
			<-e.idle
			e.Close()
		})
	}
}

// release ends a use of a model. The caller holds mu.
func (c *Catalog) release(e *entry) {
	if e.users--; e.users == 0 {
		close(e.idle)
	}
}

// done ends a use of a model.
func (c *Catalog) done(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(e)
}
