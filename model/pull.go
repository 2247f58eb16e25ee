package model

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/safetensors"
)

// PullConfig configures [Pull]. The zero value fetches torchvision's weights into the user's cache folder.
type PullConfig struct {
	// From is what to fetch: "torchvision", a model of Hugging Face's hub as "hf:owner/name" or "hf:owner/name@revision", or the
	// HTTP(S) URL of a file. Empty means the default file of Mirror.
	From string
	// Mirror is a folder or an HTTP(S) URL with a models.json. Empty means torchvision.
	Mirror string
	// Hub is where models of the hub are.
	Hub Hub
	// SHA256 is the hex digest of the file of a URL; empty means that it is not checked.
	SHA256 string
	// Out is the file to write; empty means CachePath, or a file in the folder models beside it that is named like the model.
	Out string
	// Options say what the model's files do not. The file that is written has it.
	Options Options
	// Again fetches even if Out already holds these weights.
	Again bool
	// Client sends the requests; nil means http.DefaultClient.
	Client *http.Client
	// IdleTimeout is how long a server may send nothing, or less than 1 KiB/s on average, before the connection counts as
	// broken. Zero means 30 s.
	IdleTimeout time.Duration
	// Tries is how many requests in a row may break off before the download fails; one that brought at least 1 MiB, or
	// a sixteenth of a small file, does not count. Zero means 5.
	Tries int
	// Notify, if set, is called before each further try with the reason, one line of text.
	Notify func(message string)
	// Progress, if set, is called often during a download with the bytes received and their total, -1 if it is not
	// known.
	Progress func(done, total int64)

	convert func(in, out string, source Source, o Options) error // for tests, which fetch other things than weights
}

func (c PullConfig) withDefaults() (PullConfig, error) {
	if c.Client == nil {
		c.Client = http.DefaultClient
	}
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
	if c.Notify == nil {
		c.Notify = func(string) {}
	}
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 30*time.Second)
	c.Tries = cmp.Or(c.Tries, 5)
	if c.convert == nil {
		c.convert = convert
	}
	if c.IdleTimeout < 0 || c.Tries < 0 {
		return c, fmt.Errorf("idle timeout %s and %d tries: want more than 0", c.IdleTimeout, c.Tries)
	}
	return c, nil
}

// out returns the file to write.
func (c PullConfig) out(s Source) (string, error) {
	if c.Out != "" {
		return c.Out, nil
	}
	if c.From == "" || c.From == fromTorchvision {
		return CachePath()
	}
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	// The hub's own way to make a file name of an owner and a name.
	return filepath.Join(dir, "models", strings.ReplaceAll(s.Weights, "/", "--")+".safetensors"), nil
}

// Pulled is the result of [Pull].
type Pulled struct {
	Path    string // the safetensors file
	Source  Source // what it was made from
	Already bool   // it existed before
}

// Pull fetches weights, checks their size and SHA-256, and converts them to a safetensors file, atomically. A broken
// download is resumed, in this call or a later one; the part is kept beside the result with the suffix ".part". If the
// file is refused, nothing is left of it.
func Pull(ctx context.Context, c PullConfig) (Pulled, error) {
	c, err := c.withDefaults()
	if err != nil {
		return Pulled{}, err
	}
	source, err := c.source(ctx)
	if err != nil {
		return Pulled{}, err
	}
	if c.Out, err = c.out(source); err != nil {
		return Pulled{}, err
	}
	p := Pulled{Path: c.Out, Source: source}
	if !c.Again && c.Options == (Options{}) && holds(c.Out, source) {
		p.Already = true
		return p, nil
	}
	if err := os.MkdirAll(filepath.Dir(c.Out), 0o755); err != nil {
		return p, fmt.Errorf("create folder for weights: %w", err)
	}
	if !source.remote() {
		if err := check(source.Location, source); err != nil {
			return p, err
		}
		return p, c.convert(source.Location, c.Out, source, c.Options)
	}
	part := c.Out + "." + source.id() + ".part"
	if err := downloadChecked(ctx, c, source, part); err != nil {
		return p, err
	}
	return p, c.finish(part, source)
}

// finish converts a complete file in a folder with the files that describe it, and removes them.
func (c PullConfig) finish(part string, source Source) (err error) {
	dir := part + ".d"
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	file := filepath.Join(dir, source.file())
	if err := os.Rename(part, file); err != nil {
		return err
	}
	for name, data := range source.sides {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return c.convert(file, c.Out, source, c.Options)
}

// id names the file in the names of its parts.
func (s Source) id() string {
	if s.SHA256 != "" {
		return s.SHA256[:8]
	}
	sum := sha256.Sum256([]byte(s.Location))
	return hex.EncodeToString(sum[:4])
}

const fromTorchvision = "torchvision"

// source finds out what to fetch, within the idle timeout: what says it is small.
func (c PullConfig) source(ctx context.Context) (Source, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.IdleTimeout, fmt.Errorf("%w for %s", errIdle, c.IdleTimeout))
	defer cancel()
	model, ok := strings.CutPrefix(c.From, "hf:")
	if page := c.Hub.page(c.From); page != "" {
		model, ok = page, true
	}
	switch {
	case c.From == fromTorchvision, c.From == "" && c.Mirror == "":
		return Torchvision(), nil
	case c.From == "":
		source, err := Mirror(ctx, c.Client, c.Mirror)
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, errIdle) {
			err = fmt.Errorf("read models.json of mirror %s: %w", c.Mirror, cause)
		}
		return source, err
	case ok:
		source, err := c.Hub.source(ctx, c.Client, model)
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, errIdle) {
			err = fmt.Errorf("model %s of the hub: %w", model, cause)
		}
		return source, err
	case isURL(c.From):
		return URL(c.From, c.SHA256)
	}
	return Source{}, fmt.Errorf("cannot pull %q: want torchvision, hf:owner/name, hf:owner/name@revision, or the URL of a file", c.From)
}

// downloadChecked fetches source into part. If the file is wrong and the download was resumed, it starts over: the file
// may have changed on the server in between.
func downloadChecked(ctx context.Context, c PullConfig, source Source, part string) error {
	if source.SHA256 == "" { // nothing would show that the part is of an older file
		if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	info, err := os.Stat(part)
	resumed := err == nil
	if resumed && source.Bytes > 0 && info.Size() > source.Bytes {
		resumed = false // not a part of this file
		if err := os.Remove(part); err != nil {
			return err
		}
	}
	for {
		d := download{client: c.Hub.client(c.Client, source), url: source.Location, size: source.Bytes, idle: c.IdleTimeout, tries: c.Tries,
			pause: firstPause, progress: c.Progress, notify: c.Notify}
		if err := d.run(ctx, part); err != nil {
			return err
		}
		err := check(part, source)
		if err == nil {
			return nil
		}
		if rmErr := os.Remove(part); rmErr != nil || !resumed {
			return errors.Join(err, rmErr)
		}
		c.Notify(fmt.Sprintf("%v: starting over", err))
		resumed = false
	}
}

// holds reports whether the file at path was made from source.
func holds(path string, source Source) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	metadata, err := safetensors.ReadMetadata(f)
	return err == nil && source.SHA256 != "" && strings.HasPrefix(metadata[weights.MetaOrigin], source.SHA256) &&
		metadata[weights.MetaRevision] == source.Revision
}

// check compares the size and SHA-256 of a file with those of source.
func check(path string, source Source) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check weights: %w", err)
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, f)
	if err != nil {
		return fmt.Errorf("check weights: %w", err)
	}
	if source.Bytes != 0 && n != source.Bytes {
		return fmt.Errorf("%s has %d bytes, want %d", shown(source.Location), n, source.Bytes)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); !strings.HasPrefix(sum, source.SHA256) {
		return fmt.Errorf("%s has SHA-256 %s, want %s", shown(source.Location), sum, source.SHA256)
	}
	return nil
}
