package autoscale

import "testing"

// TestKinds checks that each kind makes policies of its own name, and is found by it.
func TestKinds(t *testing.T) {
	t.Parallel()
	for _, want := range Kinds() {
		k, ok := KindOf(want.Name)
		if !ok || k.Help == "" || k.New(Settings{}).Name() != want.Name {
			t.Errorf("%s: found %+v, which makes %q", want.Name, k, k.New(Settings{}).Name())
		}
	}
	if _, ok := KindOf("none"); ok {
		t.Error("a kind named none was found")
	}
}

// TestKindsTakeSettings checks that limits, SLO and target reach the policies.
func TestKindsTakeSettings(t *testing.T) {
	t.Parallel()
	s := Settings{Limits: Limits{Min: 3, Max: 7}, SLO: 123, Target: 0.25}
	for _, k := range Kinds() {
		var limits Limits
		target := s.Target
		switch p := k.New(s).(type) {
		case *Deadline:
			limits = p.cfg.Limits
			if p.cfg.SLO != s.SLO {
				t.Errorf("%s: SLO %s, want %s", k.Name, p.cfg.SLO, s.SLO)
			}
		case *KPA:
			limits, target = p.cfg.Limits, p.cfg.Utilization
		case *Threshold:
			limits = p.cfg.Limits
		case *HPACPU:
			limits, target = p.cfg.Limits, p.cfg.Target
		case *HPAExternal:
			limits, target = p.cfg.Limits, p.cfg.AverageValue
		default:
			t.Errorf("%s: not covered by this test", k.Name)
		}
		if limits != s.Limits || target != s.Target {
			t.Errorf("%s: limits %+v and target %v, want %+v and %v", k.Name, limits, target, s.Limits, s.Target)
		}
	}
}
