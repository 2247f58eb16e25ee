package autoscale

import (
	"strings"
	"testing"
	"time"
)

// TestTimeWindows has the example of TimeWindow.Contains, and reads every form.
func TestTimeWindows(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		window, at string
		want       bool
	}{
		{"fri 22:00-06:00 1:5", "Fri 23:00", true},
		{"fri 22:00-06:00 1:5", "Sat 05:59", true},
		{"fri 22:00-06:00 1:5", "Fri 05:00", false},
		{"fri 22:00-06:00 1:5", "Sat 06:00", false},
		{"08:00-18:00 4:20", "Sun 08:00", true},
		{"08:00-18:00 4:20", "Sun 07:59", false},
		{"08:00-18:00 4:20", "Sun 18:00", false},
		{"mon-fri 08:00-18:00 4:20", "Mon 12:00", true},
		{"mon-fri 08:00-18:00 4:20", "Fri 12:00", true},
		{"mon-fri 08:00-18:00 4:20", "Sat 12:00", false},
		{"Sat,Sun 00:00-24:00 0:2", "Sun 23:59", true},
		{"sat-mon 00:00-24:00 0:2", "Mon 00:00", true},
		{"sat-mon 00:00-24:00 0:2", "Tue 00:00", false},
		{"09:00-09:00 2:4", "Tue 03:00", true}, // all day
	} {
		w, err := ParseTimeWindow(test.window)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse("2006-01-02 Mon 15:04", map[string]string{"Mon": "2026-11-30 ", "Tue": "2026-12-01 ", "Fri": "2026-12-04 ", "Sat": "2026-12-05 ", "Sun": "2026-12-06 "}[test.at[:3]]+test.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Contains(at); got != test.want {
			t.Errorf("%q contains %s: %v, want %v", test.window, test.at, got, test.want)
		}
	}
	for _, bad := range []string{"", "4:20", "08:00-18:00", "08:00 4:20", "8-18 4:20", "25:00-26:00 4:20", "08:60-09:00 4:20", "08:00-18:00 5:4",
		"08:00-18:00 -1:4", "08:00-18:00 4", "08:00-18:00 0:0", "mo-fr 08:00-18:00 4:20", "mon 08:00-18:00 4:20 x"} {
		if _, err := ParseTimeWindow(bad); err == nil || !strings.Contains(err.Error(), "mon-fri 08:00-18:00 4:20") {
			t.Errorf("%q: %v, want an error with an example", bad, err)
		}
	}
}

// TestScheduled checks that the first window counts, and the usual limits outside.
func TestScheduled(t *testing.T) {
	t.Parallel()
	parse := func(text string) TimeWindow {
		w, err := ParseTimeWindow(text)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	windows := []TimeWindow{parse("08:00-18:00 4:20"), parse("06:00-20:00 0:9")}
	usual := Limits{Min: 2, Max: 6}
	if got := WidestLimits(usual, windows); got != (Limits{Min: ToZero, Max: 20}) {
		t.Errorf("widest limits %+v", got)
	}
	for _, test := range []struct {
		hour, wanted, want int
		rule               Rule
	}{
		{10, 1, 4, RuleWindow}, {10, 30, 20, RuleWindow}, {10, 7, 7, RuleFixed}, {7, 0, 0, RuleFixed}, {7, 30, 9, RuleWindow},
		{23, 1, 2, RuleMin}, {23, 7, 6, RuleMax}, {23, 5, 5, RuleFixed},
	} {
		p := Scheduled{Policy: &Static{Replicas: test.wanted}, Usual: usual, Windows: windows, Zone: time.UTC}
		d := p.Decide(time.Date(2026, 11, 30, test.hour, 0, 0, 0, time.UTC), Snapshot{Desired: 5})
		if d.Replicas != test.want || d.Because().Rule != test.rule {
			t.Errorf("at %d o'clock %d are wanted: %d because of %v, want %d because of %q", test.hour, test.wanted, d.Replicas, d.Because(), test.want, test.rule)
		}
	}
	// The time of day is that of the zone.
	p := Scheduled{Policy: &Static{Replicas: 1}, Usual: usual, Windows: windows, Zone: time.FixedZone("east", 4*3600)}
	if d := p.Decide(time.Date(2026, 11, 30, 5, 0, 0, 0, time.UTC), Snapshot{}); d.Replicas != 4 {
		t.Errorf("at five, nine in the zone: %d replicas, want 4", d.Replicas)
	}
}

// FuzzParseTimeWindow checks that no text makes it panic, and that what is accepted has valid limits.
func FuzzParseTimeWindow(f *testing.F) {
	f.Add("mon-fri 08:00-18:00 4:20")
	f.Add("sat,sun 22:00-06:00 0:3")
	f.Fuzz(func(t *testing.T, text string) {
		if w, err := ParseTimeWindow(text); err == nil {
			if w.Limits.Validate() != nil || w.From > 24*time.Hour || w.To > 24*time.Hour {
				t.Errorf("%q is accepted as %+v", text, w)
			}
			w.Contains(start)
		}
	})
}
