package measure

import (
	"errors"
	"slices"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// Networks packs weights for each precision, or for fp32 and int8, if the weights allow both, if none is named. A nil set means random
// weights. Weights in float32 are rounded to int8 without calibration: the labels would be poor, the times are the same.
func Networks(set *weights.Set, precisions []string) ([]*resnet.Network, error) {
	if set != nil && len(set.Int8) > 0 {
		if slices.ContainsFunc(precisions, func(p string) bool { return p != engine.PrecisionInt8 }) {
			return nil, errors.New("measure: these weights are quantized and can only be measured in int8")
		}
		q, err := resnet.LoadQuantized(set)
		if err != nil {
			return nil, err
		}
		n, err := resnet.New(q, nil)
		return []*resnet.Network{n}, err
	}
	params := resnet.Random(1, spec.ImageNet())
	if set != nil {
		var err error
		if params, err = resnet.Fold(set); err != nil {
			return nil, err
		}
	}
	if len(precisions) == 0 {
		precisions = []string{engine.PrecisionFP32, engine.PrecisionInt8}
	}
	var networks []*resnet.Network
	for _, p := range precisions {
		n, err := pack(params, p)
		if err != nil {
			return nil, err
		}
		networks = append(networks, n)
	}
	return networks, nil
}

func pack(params *resnet.Params, precision string) (*resnet.Network, error) {
	switch precision {
	case engine.PrecisionFP32:
		return resnet.New(params, nil)
	case engine.PrecisionBF16:
		w, err := params.BF16()
		if err != nil {
			return nil, err
		}
		return resnet.New(w, nil)
	}
	scales := map[string]float32{}
	for _, name := range resnet.Activations() {
		scales[name] = 1.0 / 32
	}
	q, err := resnet.Quantize(params, &resnet.Calibration{Scale: scales})
	if err != nil {
		return nil, err
	}
	return resnet.New(q, nil)
}
