package autoscale

import "context"

// Scaler has replicas and changes their number. Methods are safe for concurrent use, but only one
// autoscaler at a time may set: with several, a lease decides which.
type Scaler interface {
	// Scale tells how many replicas are asked for and which exist.
	Scale(ctx context.Context) (Scale, error)
	// SetReplicas asks for n replicas and returns; they come and go later. The decision says why, for
	// whoever keeps a record of it (Kubernetes Events). A Scaler that removes replicas lets them finish
	// what they have.
	SetReplicas(ctx context.Context, n int, why Decision) error
}

// Scale is the state of a [Scaler].
type Scale struct {
	Desired  int       // replicas asked for
	Replicas []Replica // those that exist; InFlight need not be known
}

// RemovalOrderer is a [Scaler] that can be told which replicas to remove first: on Kubernetes by the
// annotation pod-deletion-cost. Scalers that are not remove as they see fit.
type RemovalOrderer interface {
	// OrderRemoval names all replicas that serve, the one to remove first at the start. It is called before
	// a SetReplicas that shrinks.
	OrderRemoval(ctx context.Context, names []string) error
}

// Gate is a [Scaler] that may not be allowed to set: another autoscaler holds the lease, or a
// HorizontalPodAutoscaler owns the target. An autoscaler runs it beside its loop.
type Gate interface {
	// Run competes for the right to set, calling lead with true when it has it and with false when it has
	// lost it, until ctx ends. An error ends the autoscaler: somebody else owns the target.
	Run(ctx context.Context, lead func(bool)) error
}
