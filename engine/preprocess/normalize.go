package preprocess

import "github.com/resnet18cloud/resnet18cloud/engine/spec"

// Normalize returns an input as the float32 tensor that other servers of the network take: (x/255 - mean) / deviation,
// as torchvision's transform Normalize. The order is NHWC if channelsLast is set, else NCHW. The networks of engine/resnet
// need no such tensor: they normalize by their weights.
func Normalize(in *Input, channelsLast bool) []float32 {
	var mean, deviation [3]float32
	of := spec.Torchvision()
	for c := range mean {
		mean[c], deviation[c] = float32(of.Mean[c]), float32(of.Deviation[c])
	}
	values := make([]float32, len(in))
	for i, b := range in {
		channel, at := i%3, i
		if !channelsLast {
			at = channel*Size*Size + i/3
		}
		values[at] = (float32(b)/255 - mean[channel]) / deviation[channel]
	}
	return values
}
