package autoscale

import "context"

// Scaler changes the number of replicas. Its methods are safe for concurrent use, but only one autoscaler at a time
// may call SetReplicas: of several, a lease elects one.
type Scaler interface {
	// Scale returns the wanted number of replicas and those that exist.
	Scale(ctx context.Context) (Scale, error)
	// SetReplicas requests n replicas and returns; they start and stop later. The decision is the reason, for records
	// such as Kubernetes Events. Replicas that are removed finish their images.
	SetReplicas(ctx context.Context, n int, why Decision) error
}

// Scale is the state of a [Scaler].
type Scale struct {
	Desired  int       // wanted number of replicas
	Replicas []Replica // existing replicas; InFlight may be unknown
}

// RemovalOrderer is a [Scaler] that can be told which replicas to remove first: on Kubernetes by the annotation
// pod-deletion-cost. Other scalers choose themselves.
type RemovalOrderer interface {
	// OrderRemoval names all ready replicas, the first to be removed first. It is called before a SetReplicas that
	// scales down.
	OrderRemoval(ctx context.Context, names []string) error
}

// Gate is a [Scaler] whose SetReplicas may be forbidden: another autoscaler holds the lease, or a
// HorizontalPodAutoscaler scales the target. An autoscaler runs it beside its loop.
type Gate interface {
	// Run takes part in the election until ctx ends. It calls lead with true when SetReplicas becomes allowed, and
	// with false when it no longer is. An error ends the autoscaler: something else scales the target.
	Run(ctx context.Context, lead func(bool)) error
}

// Announcer is a [Scaler] that keeps records which people read, such as Kubernetes Events.
type Announcer interface {
	// Announce records the account of a [Shadow], as a sentence.
	Announce(ctx context.Context, account string) error
}
