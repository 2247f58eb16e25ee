// Package oip serves pictures in the Open Inference Protocol v2 (https://github.com/kserve/open-inference-protocol), over
// REST and gRPC, with Triton's extensions for classifications and for binary tensors in REST, and in version 1 of KServe's
// protocol. What answers is a [Backend]. Requests are read within the limits of an image.
package oip
