package engine

import (
	"context"

	"github.com/resnet18cloud/resnet18cloud/engine/observe"
	"github.com/resnet18cloud/resnet18cloud/engine/quantize"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

var _ observe.Host = (*host)(nil)

// host lets an observer lead an engine from fp32 to another precision.
type host struct {
	engine *Engine
	fp32   *resnet.Network
	faster *resnet.Network // in Config.Precision; nil until Prepare
	params *resnet.Params  // nil after Prepare
	other  *resnet.Network
}

// Turn takes a worker, so that no CPU is used twice.
func (h *host) Turn(ctx context.Context) (done func(), err error) {
	w, err := h.engine.take(ctx)
	return func() { h.engine.put(w) }, err
}

func (h *host) Precision() (name string, calibrated bool) {
	name = h.engine.cfg.Precision
	return name, name == PrecisionInt8
}

func (h *host) Prepare(pictures [][]byte, between func() error) error {
	w, err := h.weights(pictures, between)
	if err != nil {
		return err
	}
	h.faster, err = resnet.New(w, nil)
	h.params, h.other = nil, h.faster
	return err
}

// weights rounds the parameters.
func (h *host) weights(pictures [][]byte, between func() error) (resnet.Weights, error) {
	if h.engine.cfg.Precision == PrecisionBF16 {
		return h.params.BF16()
	}
	calibration, err := quantize.Calibrate(h.fp32, pictures, func(_, _ int) error { return between() })
	if err != nil {
		return nil, err
	}
	return resnet.Quantize(h.params, calibration)
}

func (h *host) Other() observe.Runner { return h.other.NewRunner(1) }

func (h *host) Adopt(ctx context.Context) error { return h.swap(ctx, h.faster, h.fp32) }

func (h *host) Withdraw(ctx context.Context) error { return h.swap(ctx, h.fp32, h.faster) }

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
