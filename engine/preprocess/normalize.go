package preprocess

import "github.com/resnet18cloud/resnet18cloud/engine/spec"

// Normalize returns an input made by p as the float32 tensor that other servers of the network take:
// (x/255 - mean) / deviation, as torchvision's transform Normalize. The order is NHWC if channelsLast is set, else NCHW.
// The zero Preprocess stands for spec.Torchvision(). The networks of engine/resnet need no such tensor: they normalize by
// their weights.
func Normalize(in Input, p spec.Preprocess, channelsLast bool) []float32 {
	p = orTorchvision(p)
	var mean, deviation [3]float32
	for c := range mean {
		mean[c], deviation[c] = float32(p.Mean[c]), float32(p.Deviation[c])
	}
	values := make([]float32, len(in))
	for i, b := range in {
		channel, at := i%3, i
		if !channelsLast {
			at = channel*(len(in)/3) + i/3
		}
		values[at] = (float32(b)/255 - mean[channel]) / deviation[channel]
	}
	return values
}
