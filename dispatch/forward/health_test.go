package forward

import (
	"testing"
	"time"
)

// TestHealth runs sequences of events at an endpoint and checks the state after each. Times are milliseconds since
// the start; the interval is 1 s and the maximum backoff 5 s.
func TestHealth(t *testing.T) {
	t.Parallel()
	type state struct {
		healthy, hung bool
		next          int    // time of the next probe
		problem       string // empty: none
	}
	type step struct {
		at   int
		kind eventKind
		busy bool
		want state
	}
	up := func(next int) state { return state{healthy: true, next: next} }
	down := func(next int, problem string) state { return state{next: next, problem: problem} }
	hung := func(next int, problem string) state { return state{hung: true, next: next, problem: problem} }

	stories := map[string][]step{
		"a replica starts": {
			{0, probeFailed, false, down(100, "#0")},
			{100, probeFailed, false, down(300, "#1")},
			{300, probeSucceeded, false, up(1300)},
			{1300, probeSucceeded, false, up(2300)},
		},
		"the time to the next probe doubles up to the interval, and starts again after a success": {
			{0, probeFailed, false, down(100, "#0")},
			{100, probeFailed, false, down(300, "#1")},
			{300, probeFailed, false, down(700, "#2")},
			{700, probeFailed, false, down(1500, "#3")},
			{1500, probeFailed, false, down(2500, "#4")},
			{2500, probeUnreachable, false, down(3500, "#5")},
			{3500, probeSucceeded, false, up(4500)},
			{4500, probeFailed, false, down(4600, "#7")},
		},
		"a replica that has failed an image is probed ever more rarely, up to the limit": {
			{0, probeSucceeded, false, up(1000)},
			{0, attemptBroken, false, down(100, "#1")},
			{100, probeFailed, false, down(300, "#2")},
			{300, probeFailed, false, down(700, "#3")},
			{700, probeFailed, false, down(1500, "#4")},
			{1500, probeFailed, false, down(3100, "#5")},
			{3100, probeFailed, false, down(6300, "#6")},
			{6300, probeFailed, false, down(11300, "#7")},
			{11300, probeFailed, false, down(16300, "#8")},
		},
		"a busy replica may miss one probe, and is probed again immediately": {
			{0, probeSucceeded, false, up(1000)},
			{2000, probeUnanswered, true, up(2000)},
			{2100, probeSucceeded, true, up(3100)},
			{4100, probeUnanswered, true, up(4100)},
			{4200, probeSucceeded, true, up(5200)},
		},
		"a replica that misses two probes in a row hangs": {
			{0, probeSucceeded, false, up(1000)},
			{2000, probeUnanswered, true, up(2000)},
			{3000, probeUnanswered, true, hung(3100, "#2")},
			{4100, probeUnanswered, false, hung(4300, "#3")},
			{4400, probeSucceeded, false, up(5400)},
			{5400, probeUnanswered, false, up(5400)},
		},
		"a replica that answers images does not hang, however many probes it misses": {
			{0, probeSucceeded, false, up(1000)},
			{2000, probeUnanswered, true, up(2000)},
			{2500, attemptAnswered, true, up(2000)},
			{3000, probeUnanswered, true, up(3000)},
			{3500, attemptRejected, true, up(3000)},
			{4000, probeUnanswered, true, up(4000)},
			{4500, attemptFailed, true, up(4000)},
			{5000, probeUnanswered, true, up(5000)},
			{6000, probeUnanswered, true, hung(6100, "#8")},
		},
		"a replica that refuses connections keeps its images: it may be stopping": {
			{0, probeSucceeded, false, up(1000)},
			{1000, probeFailed, true, down(1100, "#1")},
			{1100, probeFailed, true, down(1300, "#2")},
			{2300, probeUnanswered, true, down(2700, "#3")},
			{2700, probeFailed, true, down(3500, "#4")},
			{4500, probeUnanswered, true, down(5500, "#5")},
			{6500, probeUnanswered, true, hung(7500, "#6")},
		},
		"a host that cannot be reached twice is gone": {
			{0, probeSucceeded, false, up(1000)},
			{1000, probeUnreachable, true, down(1100, "#1")},
			{1100, probeUnreachable, true, hung(1300, "#2")},
		},
		"while it has images an unhealthy endpoint is probed as often as a healthy one": {
			{0, probeSucceeded, true, up(1000)},
			{0, attemptBroken, true, down(100, "#1")},
			{100, probeFailed, true, down(300, "#2")},
			{300, probeFailed, true, down(700, "#3")},
			{700, probeFailed, true, down(1500, "#4")},
			{1500, probeFailed, true, down(2500, "#5")},
			{2500, probeFailed, true, down(3500, "#6")},
			{3500, probeFailed, false, down(8500, "#7")},
		},
		"three errors in a row make it unhealthy, and an answer in between does not": {
			{0, probeSucceeded, false, up(1000)},
			{1, attemptFailed, true, up(1000)},
			{2, attemptFailed, true, up(1000)},
			{3, attemptAnswered, true, up(1000)},
			{4, attemptFailed, true, up(1000)},
			{5, attemptFailed, true, up(1000)},
			{6, attemptFailed, true, down(106, "#6")},
			{106, probeSucceeded, false, up(1106)},
		},
		"failures of all kinds count together until an image is answered": {
			{0, probeSucceeded, false, up(1000)},
			{1, attemptBroken, true, down(101, "#1")},
			{101, probeSucceeded, true, up(1101)},
			{102, attemptStopped, true, up(1101)},
			{103, attemptFailed, true, down(303, "#4")},
		},
		"a rejection because it is full is neither an error nor a success": {
			{0, probeSucceeded, false, up(1000)},
			{1, attemptFailed, true, up(1000)},
			{2, attemptFailed, true, up(1000)},
			{3, attemptRejected, true, up(1000)},
			{4, attemptFailed, true, down(104, "#4")},
		},
		"one attempt without an answer makes it unhealthy; those that fail with it change nothing more": {
			{0, probeSucceeded, false, up(1000)},
			{50, attemptBroken, true, down(150, "#1")},
			{51, attemptBroken, true, down(150, "#1")},
			{52, attemptFailed, true, down(150, "#1")},
			{53, attemptFailed, true, down(150, "#1")},
			{54, attemptRejected, true, down(150, "#1")},
			{55, attemptAnswered, false, down(150, "#1")},
			{150, probeSucceeded, false, up(1150)},
		},
		"a replica that answers probes but no images gets fewer and fewer of them": {
			{0, probeSucceeded, false, up(1000)},
			{0, attemptBroken, false, down(100, "#1")},
			{100, probeSucceeded, false, up(1100)},
			{100, attemptBroken, false, down(300, "#3")},
			{300, probeSucceeded, false, up(1300)},
			{300, attemptBroken, false, down(700, "#5")},
			{700, probeSucceeded, false, up(1700)},
			{700, attemptAnswered, false, up(1700)}, // the replica has recovered
			{800, attemptBroken, false, down(900, "#8")},
		},
		"cancelled images count as failures": {
			{0, probeSucceeded, false, up(1000)},
			{2000, probeUnanswered, true, up(2000)},
			{3000, probeUnanswered, true, hung(3100, "#2")},
			{3000, attemptStopped, false, hung(3100, "#2")},
			{3200, probeSucceeded, false, up(4200)},
			{3200, attemptBroken, false, down(3400, "#5")},
		},
		"an attempt that was slow at a replica that answers probes says nothing yet": {
			{0, probeSucceeded, false, up(1000)},
			{500, attemptSlow, true, up(1000)},
			{600, attemptSlow, true, up(1000)},
			{700, attemptSlow, true, up(1000)},
			{800, attemptBroken, true, down(900, "#4")}, // another replica has answered one of them
		},
		"an attempt cancelled by its caller is ignored": {
			{0, probeSucceeded, false, up(1000)},
			{2000, probeUnanswered, true, up(2000)},
			{2000, nothing, true, up(2000)},
			{3000, probeUnanswered, true, hung(3100, "#3")},
		},
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, steps := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h health
			for i, s := range steps {
				problem := "#" + string(rune('0'+i))
				at := start.Add(time.Duration(s.at) * time.Millisecond)
				h = h.after(event{s.kind, problem, at}, pace{time.Second, 5 * time.Second, s.busy})
				got := state{h.healthy, h.hung(), int(h.next.Sub(start) / time.Millisecond), h.problem}
				if got != s.want {
					t.Fatalf("after step %d: %+v, want %+v", i, got, s.want)
				}
			}
		})
	}
}

// TestHungIsFoundWithinThreeSeconds checks the limit documented at Config.ProbeTimeout, with the defaults: the
// replica stops right after a probe.
func TestHungIsFoundWithinThreeSeconds(t *testing.T) {
	t.Parallel()
	cfg := Config{}.withDefaults()
	pace := pace{interval: cfg.ProbeInterval, maxBackoff: cfg.MaxBackoff, busy: true}
	stopped := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := health{}.after(event{kind: probeSucceeded, at: stopped}, pace)
	for !h.hung() {
		h = h.after(event{kind: probeUnanswered, at: h.next.Add(cfg.ProbeTimeout)}, pace)
	}
	found := h.next.Add(-firstBackoff).Sub(stopped)
	if found > 3*time.Second {
		t.Errorf("found after %s, want at most 3s", found)
	}
}
