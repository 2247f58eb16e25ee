// Package weights turns weight files into named tensors. It recognises the format by content: PyTorch's zip
// and legacy checkpoints (package pth), safetensors and ONNX, each also gzipped. Names are torchvision's
// (layer1.0.conv1.weight, ...) whatever the file calls them. What the names mean is engine/resnet's business.
package weights

import "github.com/resnet18cloud/resnet18cloud/engine/tensor"

// Set is the content of one weight file. It is read-only once loaded and safe for concurrent use.
type Set struct {
	// Tensors by torchvision's state_dict name. Convolutions are OIHW: output channel, input channel, row,
	// column. A file with batch norm folded in (ONNX exports, our own safetensors) has, instead of
	// "bn1.weight" and its siblings, the folded "conv1.weight" and a "conv1.bias".
	Tensors map[string]tensor.Tensor
	// Metadata is what the file says about itself (safetensors' __metadata__); may be nil.
	Metadata map[string]string
	// Format is "pytorch", "pytorch-legacy", "safetensors" or "onnx".
	Format string
	// SHA256 is the hex digest of the file's bytes as stored.
	SHA256 string
}
