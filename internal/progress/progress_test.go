package progress

import (
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	var m Meter
	for _, step := range []struct {
		after       time.Duration
		done, total int64
		want        string
	}{
		{0, 10 << 20, 50 << 20, ""}, // a part was there
		{time.Second / 2, 20 << 20, 50 << 20, ""},
		{10 * time.Second, 30 << 20, 50 << 20, ", 2.0 MiB/s, 10s left"},
		{20 * time.Second, 50 << 20, 50 << 20, ", 2.0 MiB/s"},
		{20 * time.Second, 50 << 20, -1, ", 2.0 MiB/s"},
		{21 * time.Second, 0, 50 << 20, ""}, // from the start again
		{23 * time.Second, 25 << 20, 50 << 20, ", 12.5 MiB/s, 2s left"},
	} {
		if got := m.Text(start.Add(step.after), step.done, step.total, " MiB", 1<<20); got != step.want {
			t.Errorf("after %s, %d of %d: %q, want %q", step.after, step.done, step.total, got, step.want)
		}
	}
}
