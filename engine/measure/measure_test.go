package measure

import (
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

func TestSpreadOf(t *testing.T) {
	t.Parallel()
	got := SpreadOf([]time.Duration{50, 10, 40, 20, 30})
	if want := (Spread{Median: 30, Low: 20, High: 40}); got != want {
		t.Errorf("SpreadOf = %+v, want %+v", got, want)
	}
	if got := SpreadOf(nil); got != (Spread{}) {
		t.Errorf("SpreadOf(nil) = %+v", got)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	n, err := resnet.New(resnet.Random(1))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Run(n, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Threads != 2 || m.Pass.Median <= 0 || m.Peak <= 0 || m.GMACs <= 0 || len(m.Layers) != 21 {
		t.Errorf("Run = %+v", m)
	}
	for _, l := range m.Layers {
		if l.Time.Median <= 0 || l.GMACs <= 0 || l.MACs <= 0 {
			t.Errorf("layer %+v", l)
		}
	}
	if _, err := Run(n, 0, 1); err == nil {
		t.Error("no threads, no error")
	}
}
