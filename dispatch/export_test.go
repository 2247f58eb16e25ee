package dispatch

import "crypto/sha256"

// Sharing is how many requests wait for the run that classifies these bytes now; 0 when there is none.
func (d *Dispatcher) Sharing(image string) int { return d.cache.Waiting(sha256.Sum256([]byte(image))) }
