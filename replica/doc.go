// Package replica serves one [resnet18cloud.Classifier] over HTTP: image bytes come in by POST /predict, the
// result goes out as JSON. Dispatchers call it, and so does anybody with curl. The one thing to know: it
// does as many images at a time as the classifier has workers, lets a bounded line wait behind them, and
// refuses the rest at once with 503, so that a caller can try another replica while there is still time.
package replica
