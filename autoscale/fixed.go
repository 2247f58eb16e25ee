package autoscale

import (
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
)

// Static keeps a number of replicas.
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

// Oracle knows the future, and starts what will be needed in time: a bound for comparison, not to be reached.
// It staffs as [Deadline] does.
type Oracle struct {
	Limits Limits
	// Rate and Mu are the images that arrive, and that one replica answers, a second at a time.
	Rate, Mu func(time.Time) float64
	// Ahead is the longest start of a replica.
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
		slack := max(0.05*p.SLO.Seconds(), p.SLO.Seconds()-1.6/mu)
		if n := queueing.Servers(rate, mu, 0.625, slack, 0.005, limits.Max); n > most.Replicas {
			most = Reason{Rule: RuleRate, Replicas: n, Value: rate, Limit: mu}
		}
	}
	d.decide(most)
	d.bound(limits)
	return d
}
