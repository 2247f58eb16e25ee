// Package resnet18cloud defines the types that all parts of ResNet18Cloud share: the [Image] to classify, the
// [Result], the [Timing] of each stage, the [Error] returned to clients, and the [Classifier] interface. It imports
// only the standard library, and every other package may import it.
//
// # The path of one image
//
// The packages, in the order in which they handle an image:
//
//  1. dispatch receives the bytes over HTTP, checks them, and responds 202 with a request ID;
//  2. dispatch/cache answers images seen before, and runs equal images in flight only once;
//  3. dispatch/queue keeps the job in a bounded, durable queue until it is done;
//  4. dispatch/forward picks the replica with the most free slots and sends it the bytes;
//  5. replica receives them, waits for a free worker, and passes them to its engine;
//  6. engine/decode detects the format, checks limits, and decodes the bytes to RGB pixels (engine/jpeg handles
//     the usual case);
//  7. engine/preprocess resizes and crops as the model asks, with torchvision's weights to 256 and 224x224 pixels;
//  8. engine/resnet normalizes the pixels and computes a logit for each class, 1000 with torchvision's weights;
//  9. engine/imagenet finds the best five, which get the model's labels;
//  10. dispatch/store keeps the result under the request ID, with a time to live, until the client fetches it.
//
// Around this path are autoscale, which adjusts the number of replicas, load, which sends real images to the system
// and reports the latency as users would have seen it, and model, which downloads, converts and verifies weights.
package resnet18cloud
