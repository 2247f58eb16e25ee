package autoscale

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
)

// Static keeps a fixed number of replicas.
type Static struct {
	Replicas int
	memory[struct{}]
}

var _ Policy = (*Static)(nil)

// Name is "static".
func (*Static) Name() string { return "static" }

// Decide implements [Policy].
func (p *Static) Decide(now time.Time, s Snapshot) Decision {
	d := stay(p.Name(), now, s)
	d.decide(Reason{Rule: RuleFixed, Replicas: p.Replicas})
	return d
}

// Oracle knows the future load and starts replicas in time: a bound for comparison that no policy can reach. It
// staffs as [Deadline] does, for half as many late images.
type Oracle struct {
	Limits Limits
	// Rate is the images that arrive per second at a time, Mu those that one replica handles.
	Rate, Mu func(time.Time) float64
	// Ahead is the maximum start time of a replica.
	Ahead time.Duration
	// SLO is how long an answer may take.
	SLO time.Duration
	memory[struct{}]
}

var _ Policy = (*Oracle)(nil)

// Name is "oracle".
func (*Oracle) Name() string { return "oracle" }

// Decide implements [Policy].
func (p *Oracle) Decide(now time.Time, s Snapshot) Decision {
	d := stay(p.Name(), now, s)
	most, limits := Reason{Rule: RuleRate}, p.Limits.withDefaults()
	for ahead := time.Duration(0); ahead <= p.Ahead+time.Second; ahead += time.Second {
		rate, mu := p.Rate(now.Add(ahead)), p.Mu(now.Add(ahead))
		if n := queueing.Servers(rate, mu, queueing.Variability(1, serviceCV2), slack(p.SLO, mu), defaultLate/2, limits.Max); n > most.Replicas {
			most = Reason{Rule: RuleRate, Replicas: n, Value: rate, Limit: mu}
		}
	}
	d.decide(most)
	d.bound(limits)
	return d
}
