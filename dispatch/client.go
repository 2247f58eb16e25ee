package dispatch

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/access"
	"github.com/resnet18cloud/resnet18cloud/internal/clientaddr"
)

// client is who sends a request: requests of the same name share one client's places and limits.
type client struct {
	name     string  // of its key; without keys its address, or the /64 network of an IPv6 address
	rate     float64 // images per second; 0 means no limit
	inFlight int     // requests accepted and not ended; 0 means no limit
}

// fromProxy reports whether a trusted proxy sent a request.
func (d *Dispatcher) fromProxy(r *http.Request) bool {
	return d.proxies.Trusts(clientaddr.Remote(r.RemoteAddr))
}

// clientOf returns the client of a request: that of its key, with the key's limits if it has any; without keys, the
// address that connects, or that trusted proxies report.
func (d *Dispatcher) clientOf(r *http.Request) client {
	if key, ok := access.FromContext(r.Context()); ok {
		return client{name: key.Name, rate: cmp.Or(key.Rate, d.cfg.ClientRate), inFlight: cmp.Or(key.InFlight, d.cfg.ClientInFlight)}
	}
	addr := d.proxies.Client(clientaddr.Remote(r.RemoteAddr), r.Header)
	return client{name: clientaddr.Group(addr), rate: d.cfg.ClientRate, inFlight: d.cfg.ClientInFlight}
}

// Reasons for refusing a request because of what its client has. They are the causes of the errors below, and label the
// metric of refusals.
type limit string

const (
	limitRate     limit = "rate"      // images per second
	limitInFlight limit = "in_flight" // requests accepted and not ended
	limitPlaces   limit = "places"    // its share of the places in the queue
	limitBytes    limit = "bytes"     // its share of the bytes in the queue
)

// Error implements error.
func (l limit) Error() string { return "limit of one client: " + string(l) }

// errRate refuses a request of a client that sends too many per second.
func errRate(rate float64, retryAfter time.Duration) *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeRateLimited, Message: fmt.Sprintf("More than %.4g images per second", rate),
		Hint: "retry after retry_after seconds; each image of a batch counts", RetryAfter: retryAfter, Err: limitRate}
}

// errInFlight refuses a request of a client that has too many unfinished ones.
func errInFlight(n int, retryAfter time.Duration) *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeRateLimited, Message: fmt.Sprintf("%d requests are accepted and not finished", n),
		Hint: "retry when one of them has ended; each image of a batch counts", RetryAfter: retryAfter, Err: limitInFlight}
}

// errShare refuses a request of a client that has its share of the queue.
func errShare(l limit, retryAfter time.Duration) *resnet18cloud.Error {
	return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: "Queue is full",
		Hint:       "retry after retry_after seconds, or add replicas; the last places are kept for clients that use less of it",
		RetryAfter: retryAfter, Err: l}
}
