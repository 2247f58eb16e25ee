package forward

import (
	"log/slog"
	"testing"
	"time"
)

// TestDefaults checks the defaults documented in Config.
func TestDefaults(t *testing.T) {
	t.Parallel()
	got := Config{}.withDefaults()
	if got.Attempts != 3 || got.AttemptTimeout != 30*time.Second || got.Slots != 4 || got.ProbeInterval != time.Second ||
		got.ProbeTimeout != time.Second || got.MaxBackoff != 5*time.Second || got.ResolveInterval != 2*time.Second {
		t.Errorf("defaults %+v", got)
	}
	got.Attempted("completed")
	got.Log.Info("discarded")

	told := 0
	log := slog.New(slog.DiscardHandler)
	set := Config{Endpoints: []string{"http://a"}, Attempts: 1, AttemptTimeout: 2, Slots: 3, ProbeInterval: 4, ProbeTimeout: 5,
		MaxBackoff: 6, ResolveInterval: 7, Attempted: func(string) { told++ }, Log: log}
	got = set.withDefaults()
	if got.Attempts != 1 || got.AttemptTimeout != 2 || got.Slots != 3 || got.ProbeInterval != 4 || got.ProbeTimeout != 5 ||
		got.MaxBackoff != 6 || got.ResolveInterval != 7 || got.Log != log {
		t.Errorf("%+v became %+v", set, got)
	}
	if got.Attempted("completed"); told != 1 {
		t.Error("Attempted was replaced")
	}
}
