package dispatch

import (
	"crypto/sha256"

	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
)

// Sharing returns how many requests wait for the call that is classifying these bytes; 0 if there is none.
func (d *Dispatcher) Sharing(image string) int {
	return d.cache.Waiting(cache.Question{Digest: sha256.Sum256([]byte(image))})
}

// Held returns how many requests count as their clients'.
func (d *Dispatcher) Held() int {
	d.holdings.mu.Lock()
	defer d.holdings.mu.Unlock()
	return len(d.holdings.requests)
}
