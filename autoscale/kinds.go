package autoscale

import "time"

// Kind is a kind of policy that users choose by its name, in commands as in docs/autoscaling.md.
type Kind struct {
	Name     string                // as on the command line, and as Policy.Name returns it
	Help     string                // what it is, in a few words
	Target   string                // what Settings.Target means, with the default; empty if it has no effect
	ToZero   bool                  // it can remove all replicas while there is no load: Limits.Min may be ToZero
	NeedsCPU bool                  // it decides by Replica.CPU, which not every Scaler knows
	New      func(Settings) Policy // the constructor
}

// Settings are what users set of any kind of policy. The zero value is usable.
type Settings struct {
	Limits
	// SLO is how long an answer may take, from arrival. Zero means 500 ms.
	SLO time.Duration
	// Target is what each replica shall have: see Kind.Target. Zero means the default.
	Target float64
	// Interval is the time between changes if something else makes them: see DeadlineConfig.Interval.
	Interval time.Duration
}

// kinds is the one list of policies. Commands, the simulator and the documentation are made from it.
var kinds = []Kind{
	{
		Name: "deadline", Help: "queueing theory, to answer within --slo", ToZero: true,
		New: func(s Settings) Policy {
			return NewDeadline(DeadlineConfig{Limits: s.Limits, SLO: s.SLO, Interval: s.Interval})
		},
	},
	{
		Name: "kpa", Help: "Knative's autoscaler", Target: "busy workers, as a share (0.7)",
		New: func(s Settings) Policy { return NewKPA(KPAConfig{Limits: s.Limits, Utilization: s.Target}) },
	},
	{
		Name: "threshold", Help: "the prototype's rules",
		New: func(s Settings) Policy { return NewThreshold(ThresholdConfig{Limits: s.Limits}) },
	},
	{
		Name: "hpa-cpu", Help: "Kubernetes' HorizontalPodAutoscaler on CPU", Target: "CPU in use, as a share (0.7)", NeedsCPU: true,
		New: func(s Settings) Policy {
			return NewHPACPU(HPACPUConfig{HPAConfig: HPAConfig{Limits: s.Limits}, Target: s.Target})
		},
	},
	{
		Name: "hpa-external", Help: "HorizontalPodAutoscaler or KEDA on the queue", Target: "images in the queue (10)",
		New: func(s Settings) Policy {
			return NewHPAExternal(HPAExternalConfig{HPAConfig: HPAConfig{Limits: s.Limits}, AverageValue: s.Target})
		},
	},
}

// Kinds returns the kinds of policy, the default first.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

// KindOf returns the kind with a name, and whether there is one.
func KindOf(name string) (Kind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}
