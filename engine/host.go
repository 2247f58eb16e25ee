package engine

import (
	"context"

	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/quantize"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

var _ observe.Host = (*host)(nil)

// host lets an observer lead an engine from fp32 to int8.
type host struct {
	engine *Engine
	fp32   *resnet.Network
	int8   *resnet.Network // nil until Quantize
	params *resnet.Params  // nil after Quantize
	other  *resnet.Network
}

// Turn takes a worker, so that no CPU is used twice.
func (h *host) Turn(ctx context.Context) (done func(), err error) {
	w, err := h.engine.take(ctx)
	return func() { h.engine.put(w) }, err
}

func (h *host) Quantize(pictures []*[resnet.Pixels]byte, between func() error) error {
	calibration, err := quantize.Calibrate(h.fp32, pictures, func(_, _ int) error { return between() })
	if err != nil {
		return err
	}
	q, err := resnet.Quantize(h.params, calibration)
	if err != nil {
		return err
	}
	h.int8, err = resnet.New(q, nil)
	h.params, h.other = nil, h.int8
	return err
}

func (h *host) Other() observe.Runner { return h.other.NewRunner(1) }

func (h *host) Adopt(ctx context.Context) error { return h.swap(ctx, h.int8, h.fp32) }

func (h *host) Withdraw(ctx context.Context) error { return h.swap(ctx, h.fp32, h.int8) }

func (h *host) swap(ctx context.Context, use, other *resnet.Network) error {
	if err := h.engine.use(ctx, use); err != nil {
		return err
	}
	h.other = other
	return nil
}

func (h *host) Forget() error {
	h.fp32, h.other = nil, nil
	return h.engine.unpack()
}
