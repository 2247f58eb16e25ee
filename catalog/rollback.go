package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/resnet18cloud/resnet18cloud"
)

// rollback is a version that was compared and did not take over. It is kept as a file of JSON, which people may read, and
// remove to have the version tried again.
type rollback struct {
	File   string               `json:"file"` // name in the folder of models
	Hash   string               `json:"hash"` // Model.Version: other content in a file of the same name is another version
	When   time.Time            `json:"when"`
	Reason string               `json:"reason"`
	Canary resnet18cloud.Canary `json:"canary"`
}

// String is the reason for people who were not there.
func (r rollback) String() string {
	if r.When.IsZero() { // of a file that somebody has written
		return r.Reason
	}
	return r.Reason + " (" + r.When.UTC().Format("2006-01-02 15:04 UTC") + ")"
}

// rollbacks keeps rollbacks in a folder, which replicas may share: a restart does not forget them, and what one replica rolls
// back the others do not promote. Each has a file of its own, so that writers need no lock and lose nothing of each other.
// See docs/decisions/0115-a-rollback-is-remembered-and-shared.md.
type rollbacks struct{ dir string } // empty keeps nothing

func (k rollbacks) path(base, hash string) string {
	return filepath.Join(k.dir, base+"."+hash+".json")
}

// add keeps a rollback. The file is there wholly or not at all.
func (k rollbacks) add(r rollback) error {
	if k.dir == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(k.dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), k.path(r.File, r.Hash))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Limits on the file of a rollback and on each of its texts, which are in the list of models; ours have less than 2 KiB.
const (
	maxRollback     = 64 << 10
	maxRollbackText = 1 << 10
)

// find returns the rollback of a file with a content. What cannot be read counts as none, except for a file that is no
// JSON: it is there, and somebody meant it to be.
func (k rollbacks) find(base, hash string) (r rollback, ok bool) {
	if k.dir == "" {
		return r, false
	}
	path := k.path(base, hash)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // opening a pipe waits for its writer
		return r, false
	}
	f, err := os.Open(path)
	if err != nil {
		return r, false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRollback))
	if err != nil {
		return r, false
	}
	return parseRollback(data, base, hash), true
}

// parseRollback reads the file of a rollback. Its name says what was rolled back; of the content only reason and evidence count.
func parseRollback(data []byte, base, hash string) rollback {
	var r rollback
	if err := json.Unmarshal(data, &r); err != nil || r.Reason == "" {
		r = rollback{Reason: "no reason in the file that says so"}
	}
	r.File, r.Hash = base, hash
	r.Reason, r.Canary.Against = plain(r.Reason), plain(r.Canary.Against)
	return r
}

// plain returns a text without control characters, cut at its limit.
func plain(text string) string {
	if len(text) > maxRollbackText {
		text = strings.ToValidUTF8(text[:maxRollbackText], "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// removed reports whether somebody has removed the file of a rollback, to have the version tried again.
func (k rollbacks) removed(base, hash string) bool {
	if k.dir == "" {
		return false
	}
	_, err := os.Stat(k.path(base, hash))
	return errors.Is(err, fs.ErrNotExist)
}

// rolledBack returns the rollback of a model. Without comparisons there are none: new versions take over at once.
func (c *Catalog) rolledBack(e *entry) (rollback, bool) {
	if c.cfg.Rules.Share == 0 {
		return rollback{}, false
	}
	return c.rollbacks.find(e.file.base, e.Version)
}

// keep keeps a rollback. The caller does not hold mu.
func (c *Catalog) keep(ctx context.Context, r rollback) {
	if err := c.rollbacks.add(r); err != nil {
		c.cfg.Log.ErrorContext(ctx, "cannot keep a rollback; after a restart the version is tried again", "file", r.File, "error", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.places[r.File]; p != nil && p.hash == r.Hash {
		p.kept = true
	}
}

// rollBack unloads a version and notes why. kept reports that the rollback has a file. The caller holds mu.
func (c *Catalog) rollBack(p *place, r rollback, kept bool) {
	p.kept = kept
	p.hash, p.entry, p.state, p.reason, p.canary = r.Hash, nil, resnet18cloud.ModelRolledBack, r.String(), &r.Canary
}

// follow rolls back what other replicas have rolled back: versions that are being compared here, and versions that serve here
// while another one is there to serve instead.
func (c *Catalog) follow(ctx context.Context) {
	type found struct {
		place *place
		entry *entry
		rollback
	}
	var all []found
	c.mu.Lock()
	for _, p := range c.places {
		t := c.trials[p.name]
		if p.entry != nil && (t != nil && t.place == p || c.serving[p.name] == p.entry) {
			all = append(all, found{place: p, entry: p.entry})
		}
	}
	c.mu.Unlock()
	for _, f := range all {
		var ok bool
		if f.rollback, ok = c.rolledBack(f.entry); !ok { // reads a file, so not under mu
			continue
		}
		c.mu.Lock()
		c.followOne(ctx, f.place, f.entry, f.rollback)
		c.mu.Unlock()
	}
}

// followOne rolls back one version if that is still possible. The caller holds mu.
func (c *Catalog) followOne(ctx context.Context, p *place, e *entry, r rollback) {
	if c.places[p.base] != p || p.entry != e {
		return // changed meanwhile
	}
	if c.serving[p.name] == e {
		next := c.newest(p.name, p)
		if t := c.trials[p.name]; next == nil || t != nil && t.place == next {
			return // a version that was rolled back is better than none, or one that nobody has judged
		}
		c.serve(ctx, next, fmt.Sprintf("version %s was rolled back: %s", e.version, r))
	}
	c.rollBack(p, r, true)
	c.cfg.Log.WarnContext(ctx, "model rolled back, as at another replica", "file", p.base, "reason", r.String())
	c.endTrials(ctx)
	c.sweep()
}

// revive loads the newest version of each model of which all versions were rolled back: one that did not agree is better
// than none.
func (c *Catalog) revive(ctx context.Context) (refused []error) {
	c.mu.Lock()
	last := map[string]*place{}
	for _, p := range c.places {
		if p.state != resnet18cloud.ModelRolledBack || c.serving[p.name] != nil {
			continue
		}
		if l := last[p.name]; l == nil || compareVersions(p.version, l.version) > 0 {
			last[p.name] = p
		}
	}
	c.mu.Unlock()
	for _, p := range last {
		refused = append(refused, c.load(ctx, p.file, true))
	}
	return refused
}

// forgiven returns the files that were rolled back and whose rollbacks somebody has removed.
func (c *Catalog) forgiven() map[string]bool {
	files := map[string]string{}
	c.mu.Lock()
	for base, p := range c.places {
		if p.state == resnet18cloud.ModelRolledBack && p.kept {
			files[base] = p.hash
		}
	}
	c.mu.Unlock()
	forgiven := map[string]bool{}
	for base, hash := range files {
		forgiven[base] = c.rollbacks.removed(base, hash)
	}
	return forgiven
}
