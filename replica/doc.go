// Package replica serves one [resnet18cloud.Classifier] over HTTP: clients send an image with POST /predict and
// receive the result as JSON. Its clients are dispatchers, or any HTTP client such as curl. It processes as many
// images at a time as the classifier has workers, lets a limited number of requests wait, and rejects the rest
// immediately with 503, so that the caller can try another replica in time.
package replica
