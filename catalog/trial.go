package catalog

import (
	"bytes"
	"context"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
)

// trial is the comparison of a new version with the one that serves. Catalog.mu guards it.
type trial struct {
	place    *place // of the new version
	against  *entry
	credit   float64 // share of requests that have not been compared yet, in requests
	evidence evidence
	skipped  int // pictures that found maxPairs waiting
}

// sample reports whether the next request is compared: every 20th for a share of 5 %.
func (t *trial) sample(share float64) bool {
	if t.credit += share; t.credit < 1 {
		return false
	}
	t.credit--
	return true
}

// pair is a picture that one version has classified and the other will. It holds other.
type pair struct {
	trial *trial
	other *entry // the version that has not classified it yet
	image resnet18cloud.Image
	first outcome
}

// outcome is what a version made of a picture.
type outcome struct {
	label string
	took  time.Duration
	err   error
}

func outcomeOf(r resnet18cloud.Result, err error) outcome {
	o := outcome{took: r.Timing.Decode + r.Timing.Preprocess + r.Timing.Inference, err: err}
	if len(r.Predictions) > 0 {
		o.label = r.Predictions[0]
	}
	return o
}

// faulty reports whether an error is the model's. Others are those of pictures and of lack of capacity.
func faulty(err error) bool { return resnet18cloud.AsError(err).Code == resnet18cloud.CodeInternal }

// maxPairs bounds the pictures that wait for the other version. Each keeps a copy of the image.
const maxPairs = 4

// answered is the rest of a request whose picture is compared: r and err are those of u.entry. If that is the new version
// and it failed, the version that serves answers.
func (c *Catalog) answered(ctx context.Context, u use, image resnet18cloud.Image, r resnet18cloud.Result, err error) (resnet18cloud.Result, error) {
	if ctx.Err() != nil || err != nil && !(c.cfg.Rules.Live && faulty(err)) {
		c.done(u.other) // nothing to compare
		return r, err
	}
	if err != nil {
		defer c.done(u.other)
		again, errAgain := u.other.Classifier.Classify(ctx, image)
		if ctx.Err() == nil {
			c.learn(ctx, u.trial, outcomeOf(again, errAgain), outcomeOf(r, err))
		}
		return again, errAgain
	}
	p := pair{trial: u.trial, other: u.other, first: outcomeOf(r, err), image: image}
	p.image.Bytes, p.image.Slow = bytes.Clone(image.Bytes), nil // they are the caller's
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trials[u.trial.place.name] != u.trial { // ended meanwhile; after Close nobody would take the pair
		c.release(u.other)
		return r, err
	}
	select {
	case c.pairs <- p:
	default:
		u.trial.skipped++
		c.release(u.other)
	}
	return r, err
}

// compare classifies pictures with the version that did not answer, one after the other, until ctx ends.
func (c *Catalog) compare(ctx context.Context) {
	defer c.dropPairs()
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-c.pairs:
			second := outcomeOf(p.other.Classifier.Classify(ctx, p.image))
			c.done(p.other)
			if ctx.Err() != nil {
				return
			}
			if c.cfg.Rules.Live {
				c.learn(ctx, p.trial, second, p.first)
			} else {
				c.learn(ctx, p.trial, p.first, second)
			}
		}
	}
}

// dropPairs forgets the pictures that wait.
func (c *Catalog) dropPairs() {
	for {
		select {
		case p := <-c.pairs:
			c.done(p.other)
		default:
			return
		}
	}
}

// learn adds what both versions made of a picture, and promotes the new one or rolls it back if that is decided.
func (c *Catalog) learn(ctx context.Context, t *trial, old, candidate outcome) {
	c.mu.Lock()
	r, rolledBack := c.weigh(ctx, t, old, candidate)
	c.mu.Unlock()
	if rolledBack {
		c.keep(ctx, r)
	}
}

// weigh is learn without keeping a rollback, which writes a file. The caller holds mu.
func (c *Catalog) weigh(ctx context.Context, t *trial, old, candidate outcome) (r rollback, rolledBack bool) {
	if old.err != nil {
		return r, false // the picture's fault, or that of the version in service: it says nothing about the new one
	}
	name := t.place.name
	if c.trials[name] != t {
		return r, false // ended meanwhile
	}
	e := &t.evidence
	if candidate.err != nil && !faulty(candidate.err) {
		return r, false // no place for a large picture, for example
	}
	if candidate.err != nil {
		e.failed++
	} else {
		e.compared++
		if old.label == candidate.label {
			e.equal++
		}
		if float64(candidate.took) > c.cfg.Rules.Slowdown*float64(old.took) {
			e.slower++
		}
	}
	v, reason := judge(*e, c.cfg.Rules)
	if v == wait {
		return r, false
	}
	t.place.canary = t.status()
	delete(c.trials, name)
	if candidate.err != nil {
		reason += ": " + candidate.err.Error()
	}
	defer c.sweep()
	defer c.endTrials(ctx)
	p := t.place
	if v == promote {
		c.serve(ctx, p, reason)
		return r, false
	}
	r = rollback{File: p.base, Hash: p.entry.Version, When: time.Now(), Reason: reason, Canary: *p.canary}
	c.rollBack(p, r, false)
	c.cfg.Log.WarnContext(ctx, "model rolled back", "file", p.base, "serving", t.against.id(), "reason", reason)
	return r, true
}

// status returns the comparison for people. The caller holds Catalog.mu.
func (t *trial) status() *resnet18cloud.Canary {
	e := t.evidence
	return &resnet18cloud.Canary{Against: t.against.version, Compared: e.compared, Equal: e.equal, Slower: e.slower, Failed: e.failed, Skipped: t.skipped}
}
