// Package resnet is the network: 224x224 pixels in, 1000 logits out. Fold takes weights as torchvision names
// them and folds batch norm into the convolutions; New packs them once for the kernels of this CPU, for all
// Runners to share; a Runner owns the memory of one forward pass and, with more than one thread, goroutines
// that share its work.
//
// The network is fixed, so there is no graph: New lays out a list of steps, one for each convolution, and
// Forward walks it. Activations are float32 with channels last, in buffers whose borders of zeros are the
// convolutions' padding. Stride-1 3x3 convolutions use Winograd's algorithm, the others multiply directly.
// Architecture: He et al., "Deep Residual Learning for Image Recognition", 2015, as torchvision builds it.
package resnet
