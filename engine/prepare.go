package engine

import (
	"context"
	"fmt"
	"image"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/engine/decode"
	"github.com/resnet18cloud/resnet18cloud/engine/preprocess"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
)

// preparer turns the bytes of an image into the network's input. It is for one image at a time, and reuses its memory.
type preparer struct {
	decoder decode.Decoder
	resizer preprocess.Resizer
	input   preprocess.Input

	rows     func(picture decode.RGB, first, end int) // takeRows, as a value that is allocated once
	check    func() error                             // proceed, likewise
	window   func(width, height int) image.Rectangle  // preprocess.Window, likewise
	resizing time.Duration                            // time spent on the picture in progress
	budget   budget
}

func newPreparer(s spec.Preprocess) *preparer {
	p := new(preparer)
	p.resizer.Spec = s
	p.rows, p.check, p.window = p.takeRows, p.proceed, preprocess.Window(s)
	return p
}

// takeRows resizes rows while they are in the cache; the picture is never in memory as a whole.
func (p *preparer) takeRows(picture decode.RGB, first, end int) {
	clock := stopwatch{time.Now()}
	p.resizer.Rows(picture.Pix, picture.Stride, picture.Width, picture.Height, first, end)
	p.resizing += clock.lap()
}

// decodeOptions are the options of images on this preparer.
func (p *preparer) decodeOptions(c Config) decode.Options {
	o := c.decodeOptions()
	o.Rows, o.Check, o.Window = p.rows, p.check, p.window
	return o
}

// prepare makes p.input of an image. gap is how long to pause after working for a time; nil means not at all, and to end with errSlow
// after slowTime.
func (p *preparer) prepare(ctx context.Context, c Config, img []byte, gap func(worked time.Duration) time.Duration) (t resnet18cloud.Timing, err error) {
	clock := stopwatch{time.Now()}
	p.resizing = 0
	p.budget = budget{ctx: ctx, limit: max(c.MaxDecodeTime, 0), last: clock.last, gap: gap}
	defer func() { p.budget = budget{} }() // do not retain the context
	_, err = p.decoder.Decode(img, p.decodeOptions(c))
	t.Decode = clock.lap() - p.resizing
	if err != nil {
		return t, err
	}
	p.resizer.Finish(&p.input)
	t.Preprocess = clock.lap() + p.resizing
	return t, nil
}

// forget frees the memory of a large picture.
func (p *preparer) forget() {
	p.decoder, p.resizer = decode.Decoder{}, preprocess.Resizer{Spec: p.resizer.Spec}
}

// maxPart is the most that counts of the time between two checks. It is more than such a part of the work takes in
// nearly all pictures; what is beyond is time in which the system did not run this thread.
const maxPart = 20 * time.Millisecond

// budget is the time of one picture.
type budget struct {
	ctx   context.Context
	limit time.Duration // 0 for none
	used  time.Duration // time at work: without pauses
	last  time.Time     // end of the time that is counted in used
	gap   func(worked time.Duration) time.Duration
}

// proceed is decode.Options.Check: it ends decoding when the context has ended or the time is used up, and pauses if
// other images need the CPUs.
func (p *preparer) proceed() error {
	b := &p.budget
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	now := time.Now()
	worked := now.Sub(b.last)
	b.used, b.last = b.used+min(worked, maxPart), now
	if b.limit > 0 && b.used > b.limit {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeTooLarge,
			Message: fmt.Sprintf("Image takes longer than %s to decode", b.limit),
			Hint:    fmt.Sprintf("Send a smaller image; the network reads %[1]dx%[1]d pixels.", p.resizer.Spec.Crop)}
	}
	if b.gap == nil {
		if b.used > slowTime {
			return errSlow
		}
		return nil
	}
	if wait := b.gap(worked); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-b.ctx.Done():
			return context.Cause(b.ctx)
		}
		b.last = time.Now()
	}
	return nil
}
