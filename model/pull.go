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
)

// PullConfig configures [Pull]. The zero value fetches torchvision's weights into the user's cache folder.
type PullConfig struct {
	// Mirror is a folder or an HTTP(S) URL with a models.json whose default file to fetch. Empty means torchvision.
	Mirror string
	// Out is the file to write; empty means CachePath.
	Out string
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
	if c.IdleTimeout < 0 || c.Tries < 0 {
		return c, fmt.Errorf("idle timeout %s and %d tries: want more than 0", c.IdleTimeout, c.Tries)
	}
	if c.Out == "" {
		path, err := CachePath()
		if err != nil {
			return c, err
		}
		c.Out = path
	}
	return c, nil
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
	source := Torchvision()
	if c.Mirror != "" {
		if source, err = c.mirror(ctx); err != nil {
			return Pulled{}, err
		}
	}
	p := Pulled{Path: c.Out, Source: source}
	if !c.Again && holds(c.Out, source) {
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
		return p, convert(source.Location, c.Out, source)
	}
	part := c.Out + "." + source.SHA256[:8] + ".part"
	if err := downloadChecked(ctx, c, source, part); err != nil {
		return p, err
	}
	return p, errors.Join(convert(part, c.Out, source), os.Remove(part))
}

// mirror is Mirror within the idle timeout: an index is small.
func (c PullConfig) mirror(ctx context.Context) (Source, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.IdleTimeout, fmt.Errorf("%w for %s", errIdle, c.IdleTimeout))
	defer cancel()
	source, err := Mirror(ctx, c.Client, c.Mirror)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errIdle) {
		err = fmt.Errorf("read models.json of mirror %s: %w", c.Mirror, cause)
	}
	return source, err
}

// downloadChecked fetches source into part. If the file is wrong and the download was resumed, it starts over: the file
// may have changed on the server in between.
func downloadChecked(ctx context.Context, c PullConfig, source Source, part string) error {
	info, err := os.Stat(part)
	resumed := err == nil
	if resumed && source.Bytes > 0 && info.Size() > source.Bytes {
		resumed = false // not a part of this file
		if err := os.Remove(part); err != nil {
			return err
		}
	}
	for {
		d := download{client: c.Client, url: source.Location, size: source.Bytes, idle: c.IdleTimeout, tries: c.Tries,
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
	set, err := weights.Load(path)
	if err != nil {
		return false
	}
	defer set.Close()
	return strings.HasPrefix(set.Metadata[weights.MetaOrigin], source.SHA256)
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
		return fmt.Errorf("%s has %d bytes, want %d", source.Location, n, source.Bytes)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); !strings.HasPrefix(sum, source.SHA256) {
		return fmt.Errorf("%s has SHA-256 %s, want %s", source.Location, sum, source.SHA256)
	}
	return nil
}
