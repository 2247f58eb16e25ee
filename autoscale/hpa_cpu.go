package autoscale

import (
	"cmp"
	"time"
)

// HPACPUConfig configures [HPACPU]. The zero value is usable.
type HPACPUConfig struct {
	HPAConfig
	// Target is the target CPU usage, as a share of the CPU request of a replica. Zero means 0.7.
	Target float64
	// CPUInitialization is the time after its start in which the CPU usage of a replica counts only while it is ready.
	// Zero means 5 min.
	CPUInitialization time.Duration
	// InitialReadiness is the time after its start in which an unready replica counts as never ready. Zero means
	// 30 s.
	InitialReadiness time.Duration
}

// HPACPU is a HorizontalPodAutoscaler on CPU utilization: ready * usage/target, rounded up, with Kubernetes'
// rules for replicas that are not ready or lack metrics.
type HPACPU struct {
	cfg HPACPUConfig
	memory[hpaState]
}

// NewHPACPU makes the policy.
func NewHPACPU(cfg HPACPUConfig) *HPACPU {
	cfg.HPAConfig = cfg.HPAConfig.withDefaults()
	cfg.Target = cmp.Or(cfg.Target, 0.7)
	cfg.CPUInitialization = cmp.Or(cfg.CPUInitialization, 5*time.Minute)
	cfg.InitialReadiness = cmp.Or(cfg.InitialReadiness, 30*time.Second)
	return &HPACPU{cfg: cfg}
}

var _ Policy = (*HPACPU)(nil)

// Name is "hpa-cpu".
func (*HPACPU) Name() string { return "hpa-cpu" }

// Decide implements [Policy].
func (p *HPACPU) Decide(now time.Time, s Snapshot) Decision {
	d := stay(p.Name(), now, s)
	if !p.state.Clock.due(now, p.cfg.Sync) {
		return d
	}
	recommended, ok := p.recommend(&d, now, s)
	if ok {
		p.cfg.settle(&d, &p.state, now, s.Desired, recommended)
	}
	return d
}

// pods are replicas in the groups of the replica calculator.
type pods struct {
	usage   float64 // sum over ready
	ready   int     // with metrics that count
	unready int     // their metrics do not count
	missing int     // ready, without metrics
}

func (p *HPACPU) group(now time.Time, replicas []Replica) pods {
	var g pods
	for i := range replicas {
		switch r := &replicas[i]; {
		case r.Stopping:
		case r.ReadyAt.IsZero() && r.CPU == nil: // pending
			g.unready++
		case r.CPU == nil:
			g.missing++
		case p.unready(now, r):
			g.unready++
		default:
			g.usage, g.ready = g.usage+*r.CPU, g.ready+1
		}
	}
	return g
}

// unready reports whether the replica's CPU usage is that of its start.
func (p *HPACPU) unready(now time.Time, r *Replica) bool {
	if now.Before(r.Created.Add(p.cfg.CPUInitialization)) {
		return !r.Ready || r.CPUWindow.End.Before(r.ReadyAt.Add(r.CPUWindow.Length))
	}
	return !r.Ready && r.Created.Add(p.cfg.InitialReadiness).After(r.ReadyAt)
}

// recommend does what GetResourceReplicas of kubernetes/pkg/controller/podautoscaler/replica_calculator.go does;
// false means that there are no metrics.
func (p *HPACPU) recommend(d *Decision, now time.Time, s Snapshot) (int, bool) {
	g := p.group(now, s.Replicas)
	if g.ready == 0 {
		d.decide(Reason{Rule: RuleMissing, Replicas: s.Desired, Value: float64(g.missing + g.unready)})
		return 0, false
	}
	ratio := g.usage / float64(g.ready) / p.cfg.Target
	d.Figures = append(d.Figures, Figure{"cpu_ratio", g.usage / float64(g.ready)})
	target := func(n int) (int, bool) {
		d.decide(Reason{Rule: RuleTarget, Replicas: n, Value: g.usage / float64(g.ready), Limit: p.cfg.Target})
		return n, true
	}
	tolerated := func(ratio float64) (int, bool) {
		d.decide(Reason{Rule: RuleTolerance, Replicas: s.Desired, Value: ratio, Limit: p.cfg.Tolerance})
		return s.Desired, true
	}
	if g.missing == 0 && (g.unready == 0 || ratio <= 1) {
		if p.cfg.tolerated(ratio) {
			return tolerated(ratio)
		}
		return target(ceil(ratio * float64(g.ready)))
	}
	usage, count := g.usage, g.ready+g.missing
	if ratio < 1 { // those without metrics may be busy: count their whole request
		usage += float64(g.missing) * max(1, p.cfg.Target)
	}
	if ratio > 1 {
		count += g.unready // they count as idle: they will help soon
	}
	again := usage / float64(count) / p.cfg.Target
	n := ceil(again * float64(count))
	if p.cfg.tolerated(again) || (ratio < 1) != (again < 1) || (again < 1) != (n < s.Desired) && n != s.Desired {
		d.decide(Reason{Rule: RuleMissing, Replicas: s.Desired, Value: float64(g.missing + g.unready)})
		return s.Desired, true
	}
	return target(n)
}
