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
//  7. engine/preprocess resizes to 256, crops to 224x224 and normalizes, as torchvision does;
//  8. engine/resnet computes a logit for each class, 1000 with torchvision's weights;
//  9. engine/imagenet names the best five;
//  10. dispatch/store keeps the result under the request ID, with a time to live, until the client fetches it.
//
// Around this path are autoscale, which adjusts the number of replicas, load, which sends real images to the system
// and reports the latency as users would have seen it, and model, which downloads and verifies weights.
package resnet18cloud
