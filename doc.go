// Package resnet18cloud holds the words that all parts of ResNet18Cloud share: an [Image] that came in, the
// [Result] that goes out, the [Timing] of the stages between, the [Error] that explains a refusal, and the
// [Classifier] that turns the first into the second. It imports the standard library only, and every other
// package may import it.
//
// # The way of one image
//
// The packages, in the order in which an image meets them:
//
//  1. dispatch takes the bytes over HTTP, checks them, and answers 202 with a request id;
//  2. dispatch/cache answers known bytes at once, and lets equal images in flight run once;
//  3. dispatch/queue keeps the job, durably and in a bounded queue, until somebody has done it;
//  4. dispatch/forward picks the replica with most room and sends it the bytes;
//  5. replica receives them, waits for a free worker, and hands them to its engine;
//  6. engine/decode recognises the format, checks limits, and turns bytes into RGB pixels (engine/jpeg does
//     the usual case);
//  7. engine/preprocess resizes to 256, crops to 224x224 and normalises, as torchvision does;
//  8. engine/resnet computes 1000 logits;
//  9. engine/imagenet names the best five;
//  10. dispatch/store keeps the result under the request id, with a time to live, until the client fetches it.
//
// Around that way stand autoscale, which keeps the number of replicas right, load, which drives the system
// with real pictures and reports what a user would have felt, and model, which finds and fetches weights.
package resnet18cloud
