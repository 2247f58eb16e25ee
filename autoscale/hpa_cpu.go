package autoscale

import (
	"cmp"
	"math"
	"time"
)

// HPACPUConfig configures [HPACPU]. The zero value is usable.
type HPACPUConfig struct {
	HPAConfig
	// Target is the target CPU usage, as a share of the CPU request of a replica. Zero means 0.7.
	Target float64
	// AverageValue says that the target is of type AverageValue, in thousandths of the request, and not of type
	// Utilization, in whole percents: usage is rounded down to these.
	AverageValue bool
	// CPUInitialization is the time after its start in which the CPU usage of a replica counts only while it is ready.
	// Zero means 5 min.
	CPUInitialization time.Duration
	// InitialReadiness is the time after its start in which an unready replica counts as never ready. Zero means
	// 30 s.
	InitialReadiness time.Duration
}

// HPACPU is a HorizontalPodAutoscaler on CPU: ready * usage/target, rounded up, with Kubernetes' rules for replicas
// that are not ready or lack metrics. A replica that starts and has no CPU usage counts as a Pending pod.
//
// Worked example: the target is 70 %, and 4 replicas use 999, 999, 998 and 400 thousandths of the request, 3396 of 4000.
// That is 84.9 %, of which 84 % count. ceil(84/70 * 4) = 5 replicas.
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
	if !p.cfg.look(&d, &p.state, now, s.Desired) {
		return d
	}
	if recommended, ok := p.recommend(&d, now, s); ok {
		p.cfg.settle(&d, &p.state, now, s.Desired, recommended)
	}
	return d
}

// request is the CPU request of a replica in the unit of usage: thousandths.
const request = 1000

// pods are replicas in the groups of the replica calculator.
type pods struct {
	usage   int // sum over ready, in thousandths of the request
	ready   int // with metrics that count
	unready int // their metrics do not count
	missing int // ready, without metrics
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
			g.usage, g.ready = g.usage+int(math.Round(*r.CPU*request)), g.ready+1
		}
	}
	return g
}

// unready reports whether the replica's CPU usage is that of its start.
func (p *HPACPU) unready(now time.Time, r *Replica) bool {
	turned := r.turned()
	if now.Before(r.Created.Add(p.cfg.CPUInitialization)) {
		return !r.Ready || r.CPUWindow.End.Before(turned.Add(r.CPUWindow.Length))
	}
	return !r.Ready && r.Created.Add(p.cfg.InitialReadiness).After(turned)
}

// ratio is the usage of so many replicas over the target, and what is shown of it, as a share of the request.
func (p *HPACPU) ratio(usage, replicas int) (ratio, shown float64) {
	if target := math.Round(p.cfg.Target * request); p.cfg.AverageValue {
		mean := float64(usage / replicas)
		return mean / target, mean / request
	}
	percent := float64(usage * 100 / (request * replicas))
	return percent / p.percent(), percent / 100
}

// percent is the target in whole percents.
func (p *HPACPU) percent() float64 { return math.Round(p.cfg.Target * 100) }

// assumed is the usage of a replica without metrics when replicas are to be removed: that of the target, or of its
// whole request if that is more.
func (p *HPACPU) assumed() int {
	if p.cfg.AverageValue {
		return int(math.Round(p.cfg.Target * request))
	}
	return int(max(100, p.percent())) * request / 100
}

// recommend does what GetResourceReplicas and calcPlainMetricReplicas of
// kubernetes/pkg/controller/podautoscaler/replica_calculator.go do; false means that there are no metrics.
func (p *HPACPU) recommend(d *Decision, now time.Time, s Snapshot) (int, bool) {
	g := p.group(now, s.Replicas)
	if g.ready == 0 {
		d.decide(Reason{Rule: RuleMissing, Replicas: s.Desired, Value: float64(g.missing + g.unready)})
		return 0, false
	}
	ratio, shown := p.ratio(g.usage, g.ready)
	d.Figures = append(d.Figures, Figure{"cpu_ratio", shown})
	target := func(n int) (int, bool) {
		d.decide(Reason{Rule: RuleTarget, Replicas: n, Value: shown, Limit: p.cfg.Target})
		return n, true
	}
	if g.missing == 0 && (g.unready == 0 || ratio <= 1) {
		if p.cfg.tolerated(ratio) {
			d.decide(Reason{Rule: RuleTolerance, Replicas: s.Desired, Value: ratio, Limit: p.cfg.Tolerance})
			return s.Desired, true
		}
		return target(ceil(ratio * float64(g.ready)))
	}
	usage, count := g.usage, g.ready
	if ratio != 1 { // at exactly the target they are left out
		count += g.missing
	}
	if ratio < 1 { // those without metrics may be busy
		usage += g.missing * p.assumed()
	}
	if ratio > 1 {
		count += g.unready // they count as idle: they will help soon
	}
	again, _ := p.ratio(usage, count)
	n := ceil(again * float64(count))
	turns := ratio < 1 && again > 1 || ratio > 1 && again < 1 || again < 1 && n > s.Desired || again > 1 && n < s.Desired
	if p.cfg.tolerated(again) || turns {
		d.decide(Reason{Rule: RuleMissing, Replicas: s.Desired, Value: float64(g.missing + g.unready)})
		return s.Desired, true
	}
	return target(n)
}
