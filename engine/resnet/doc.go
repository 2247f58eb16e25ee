// Package resnet is the network: a picture in, the logits of its classes and 512 features out. [Fold] reads weights as torchvision names
// them and folds batch norm into the convolutions; [Quantize] rounds them to 8 bits; [New] packs either once for the
// kernels of this CPU, for all Runners to share; a [Runner] owns the memory of one forward pass and, with more than
// one thread, goroutines that share its work.
//
// The network is fixed, so there is no graph: a plan lists its convolutions with the buffers that each reads and
// writes, a precision turns every one into a step, and Forward runs the steps in order. Precisions share the plan,
// the memory layout, Winograd's tiling and the head; each has its own stem and direct convolution.
// Activations have channels last, in buffers whose borders of zeros are the convolutions' padding.
//
// Architecture: He et al., "Deep Residual Learning for Image Recognition", 2015, as torchvision builds it.
package resnet
