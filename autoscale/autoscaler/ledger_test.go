package autoscaler

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
)

// process is one run of a dispatcher, which accepts and answers images at a rate.
type process struct {
	id      string // empty: not reported
	rate    int    // images/s
	started time.Time
	offered int64
	silent  bool // it works but does not answer
}

// fleet is a ledger and the dispatchers that it polls each second.
type fleet struct {
	t      *testing.T
	ledger *ledger
	now    time.Time
	at     map[string][]*process // by URL; of several a random one answers
	listed []string
	all    []*process
	rng    *rand.Rand
	scale  autoscale.Scale
	before autoscale.Snapshot
	s      autoscale.Snapshot
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, ledger: newLedger(time.Second), now: time.Unix(1_000_000, 0), at: map[string][]*process{}, rng: rand.New(rand.NewPCG(1, 2))}
}

// start has a dispatcher run behind a URL since some time ago.
func (f *fleet) start(url, id string, rate int, ago time.Duration) *process {
	p := &process{id: id, rate: rate, started: f.now.Add(-ago), offered: int64(ago.Seconds()) * int64(rate)}
	f.at[url] = append(f.at[url], p)
	f.all = append(f.all, p)
	return p
}

// stop ends the process behind a URL.
func (f *fleet) stop(url string) {
	for _, p := range f.at[url] {
		f.all = slices.DeleteFunc(f.all, func(other *process) bool { return other == p })
	}
	delete(f.at, url)
}

// seconds lets time pass, with a poll each second.
func (f *fleet) seconds(n int) {
	for range n {
		f.now = f.now.Add(time.Second)
		for _, p := range f.all {
			p.offered += int64(p.rate)
		}
		f.ledger.list(f.listed)
		for _, u := range f.ledger.urls() {
			if at := f.at[u]; len(at) > 0 {
				if p := at[f.rng.IntN(len(at))]; !p.silent {
					f.ledger.take(u, f.now, p.status(f.now))
				}
			}
		}
		f.ledger.settle(f.now, false)
		f.before, f.s = f.s, f.ledger.snapshot(f.scale)
	}
}

func (p *process) status(now time.Time) *status {
	body := fmt.Sprintf(`{"instance":%q,"processing":1,"queue_size":7,"health_metrics":{"uptime":%v},"scaling":{"offered":%d,"completed":%[3]d,"service_seconds":%v}}`,
		p.id, now.Sub(p.started).Seconds(), p.offered, 0.05*float64(p.offered))
	var s status
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		panic(err)
	}
	return &s
}

// rate is images a second between the last two snapshots; 0 when nothing new was learned.
func (f *fleet) rate() float64 {
	passed := f.s.At.Sub(f.before.At).Seconds()
	if passed <= 0 {
		return 0
	}
	return float64(f.s.Offered-f.before.Offered) / passed
}

// expect polls n times and checks that each time exactly the rate is seen.
func (f *fleet) expect(n int, rate float64) {
	f.t.Helper()
	for i := range n {
		f.seconds(1)
		if f.rate() != rate {
			f.t.Fatalf("poll %d of %d: %v images/s are seen, want %v", i+1, n, f.rate(), rate)
		}
	}
}

// age is how old the snapshot is, in seconds.
func (f *fleet) age() int { return int(f.s.Age(f.now).Seconds()) }

// missing reports whether a dispatcher is missing now.
func (f *fleet) missing() bool { return f.s.Missed.Equal(f.now) }

// TestTwoDispatchersThroughOneURL checks that a Service in front of two dispatchers, which answer by turns, does not
// look like one that restarts again and again: each has counted a million images, and a few come between two polls.
func TestTwoDispatchersThroughOneURL(t *testing.T) {
	t.Parallel()
	turn, offered := 0, [2]int{1_000_000, 2_000_000}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		offered[0] += 10
		offered[1] += 10
		i := turn % 2
		turn++
		fmt.Fprintf(w, `{"instance":"run-%d","processing":3,"health_metrics":{"uptime":%d},"scaling":{"offered":%d,"completed":%[3]d}}`, i, 5000*(1+i), offered[i])
	}))
	defer service.Close()
	a := newAutoscaler(t, Config{Dispatchers: []string{service.URL}, Scaler: newScaler(3), NewPolicy: wants(3), Interval: time.Minute})
	before := int64(0)
	for n := range 40 {
		a.step(t.Context())
		now := a.latest.Offered
		if n > 4 && (now-before != 20 || a.latest.InFlight != 6) {
			t.Errorf("poll %d: %d images since the last one, %d in flight, want 20 and 6: 10 and 3 at each of two dispatchers", n, now-before, a.latest.InFlight)
		}
		before = now
	}
}

// TestDispatchersByTurnsAreCountedOnAverage has a random one of two or three dispatchers answer at one URL.
func TestDispatchersByTurnsAreCountedOnAverage(t *testing.T) {
	t.Parallel()
	for n := 2; n <= 3; n++ {
		f := newFleet(t)
		f.listed = []string{"http://service"}
		for i := range n {
			f.start("http://service", fmt.Sprint("run", i), 100, time.Hour)
		}
		f.seconds(30)
		first, most := f.s, 0
		for range 600 {
			f.seconds(1)
			most = max(most, f.age())
		}
		want := 100 * float64(n)
		if got := float64(f.s.Offered-first.Offered) / f.s.At.Sub(first.At).Seconds(); got < 0.95*want || got > 1.01*want {
			t.Errorf("%d dispatchers by turns: %v images/s are seen in ten minutes, want %v", n, got, want)
		}
		if most > silentTurnsAfter {
			t.Errorf("%d dispatchers by turns: figures are up to %d s old, want at most %d", n, most, silentTurnsAfter)
		}
	}
}

// TestARestartIsNoBurst has a dispatcher restart at its URL: its earlier counts are kept, and its new ones are added.
func TestARestartIsNoBurst(t *testing.T) {
	t.Parallel()
	for _, ids := range [][2]string{{"old", "new"}, {"", ""}, {"old", ""}, {"", "new"}} {
		f := newFleet(t)
		f.listed = []string{"http://a"}
		f.start("http://a", ids[0], 100, time.Hour)
		f.seconds(1)
		f.expect(5, 100)
		f.stop("http://a")
		f.start("http://a", ids[1], 70, 0)
		f.expect(5, 70)
		if f.s.InFlight != 1 {
			t.Errorf("instances %q: %d images in flight, want those of one dispatcher", ids, f.s.InFlight)
		}
		f.stop("http://a")
		f.seconds(3)
		f.start("http://a", "third", 50, 0)
		f.seconds(1)
		if got := f.s.Offered - f.before.Offered; got != 50 {
			t.Errorf("instances %q: %d images after a restart that took 3 s, want the 50 since", ids, got)
		}
	}
}

// TestANewcomerIsNoBurst adds a dispatcher that has been running for an hour.
func TestANewcomerIsNoBurst(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.listed = []string{"http://a"}
	f.start("http://a", "a", 100, time.Hour)
	f.start("http://b", "b", 100, time.Hour)
	f.seconds(5)
	f.listed = []string{"http://a", "http://b"}
	f.expect(1, 100) // its images may be old
	f.expect(5, 200)
}

// TestOneSilentDispatcher checks that the others' figures can be acted on after five seconds, that none count as complete
// meanwhile, and that what it counted in silence is not taken for load when it answers again.
func TestOneSilentDispatcher(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.listed = []string{"http://a", "http://b"}
	f.start("http://a", "a", 100, time.Hour)
	b := f.start("http://b", "b", 100, time.Hour)
	f.seconds(5)
	if f.age() != 0 || !f.s.Missed.IsZero() || f.s.InFlight != 2 {
		t.Errorf("with all there: %d s old, missed %v, %d in flight", f.age(), f.s.Missed, f.s.InFlight)
	}
	b.silent = true
	for i := range 5 {
		f.seconds(1)
		if f.age() != i+1 || f.missing() {
			t.Errorf("silent for %d s: figures are %d s old, missing %v; want as old as the silence", i+1, f.age(), f.missing())
		}
	}
	f.seconds(1)
	if f.age() != 0 || !f.missing() || f.s.InFlight != 1 {
		t.Errorf("silent for 6 s: figures are %d s old, missing %v, %d in flight; want those of the other, as incomplete", f.age(), f.missing(), f.s.InFlight)
	}
	f.expect(20, 100)
	if !f.missing() {
		t.Error("silent for 26 s: not missing")
	}
	b.silent = false
	f.expect(1, 100)
	f.expect(5, 200)
	if f.missing() || f.now.Sub(f.s.Missed) != 6*time.Second {
		t.Errorf("back for 6 s: missed %s ago, want 6 s", f.now.Sub(f.s.Missed))
	}

	// A short gap loses nothing.
	total := f.s.Offered
	b.silent = true
	f.seconds(5)
	b.silent = false
	f.seconds(1)
	if got := f.s.Offered - total; got != 1200 {
		t.Errorf("%d images in 6 s with a silence of 5 s, want 1200", got)
	}
}

// TestAllSilent checks that a period without any answer is counted at its true rate afterwards.
func TestAllSilent(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.listed = []string{"http://a", "http://b"}
	a, b := f.start("http://a", "a", 100, time.Hour), f.start("http://b", "b", 100, time.Hour)
	f.seconds(5)
	a.silent, b.silent = true, true
	f.seconds(90)
	if f.age() != 90 || !f.missing() || f.s.Queue != 7 || len(f.ledger.latest) != 2 {
		t.Errorf("all silent for 90 s: figures are %d s old, missing %v, %d wait; want the last ones", f.age(), f.missing(), f.s.Queue)
	}
	a.silent, b.silent = false, false
	f.expect(5, 200)
}

// TestNobodyHasEverAnswered checks that without any answer there are no figures, old or new.
func TestNobodyHasEverAnswered(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.listed = []string{"http://a"}
	f.seconds(20)
	if !f.s.At.IsZero() || !f.missing() {
		t.Errorf("snapshot of %v, missing %v; want none", f.s.At, f.missing())
	}
	// Lifetime totals are known from the first answer on.
	f.start("http://a", "a", 100, time.Hour)
	f.seconds(1)
	if f.s.Offered != 360_100 || f.s.Uptime != time.Hour+time.Second {
		t.Errorf("first answer: %d images in %s, want those of the dispatcher's life", f.s.Offered, f.s.Uptime)
	}
}

// TestRollingRestartByName has two dispatchers replaced by two at other addresses, one after the other. The load is the
// same throughout and goes to those that run. A dispatcher ends before DNS shows it.
func TestRollingRestartByName(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.listed = []string{"http://10.0.0.1", "http://10.0.0.2"}
	f.start("http://10.0.0.1", "a", 100, time.Hour)
	f.start("http://10.0.0.2", "b", 100, time.Hour)
	f.seconds(10)
	start := f.s
	share := func() {
		for _, p := range f.all {
			p.rate = 200 / len(f.all)
		}
	}
	watch := func(seconds int) {
		t.Helper()
		for range seconds {
			f.seconds(1)
			if f.rate() > 250 {
				t.Errorf("%v images/s are seen, want no more than the 200 there are", f.rate())
			}
			if f.age() > silentAfter {
				t.Errorf("figures are %d s old, want at most %d", f.age(), silentAfter)
			}
		}
	}
	for i, gone := range []string{"http://10.0.0.1", "http://10.0.0.2"} {
		come := fmt.Sprintf("http://10.0.0.%d", 3+i)
		f.start(come, come, 0, 3*time.Second)
		f.listed = append(f.listed, come)
		share()
		watch(15)
		f.stop(gone)
		share()
		watch(8) // until DNS shows it
		if !f.missing() {
			t.Errorf("%s has ended and is still listed: not missing", gone)
		}
		f.listed = slices.DeleteFunc(f.listed, func(u string) bool { return u == gone })
		watch(1)
		if f.missing() {
			t.Errorf("%s has left: still missing", gone)
		}
		watch(15)
		if got := f.ledger.urls(); !slices.Equal(got, slices.Sorted(slices.Values(f.listed))) {
			t.Errorf("asks %q, want %q", got, f.listed)
		}
	}
	f.expect(10, 200)
	if got := float64(f.s.Offered-start.Offered) / f.s.At.Sub(start.At).Seconds(); got < 180 || got > 200 {
		t.Errorf("%v images/s are seen during the restart, want nearly 200", got)
	}
	if got := len(f.ledger.state.Instances); got != 3 {
		t.Errorf("%d instances are remembered, want the two that live and the one that left less than a minute ago", got)
	}
	f.seconds(60)
	if got := len(f.ledger.state.Instances); got != 2 {
		t.Errorf("%d instances are remembered a minute later, want the two that live", got)
	}
}

// TestRollingRestartScales checks that no replica is removed because a dispatcher ends, and that replicas are added if load rises just
// then: of two dispatchers one ends, and a moment later the load doubles at the other.
func TestRollingRestartScales(t *testing.T) {
	t.Parallel()
	const steady = 14 // replicas, each of which answers 20 images/s, for 200
	for name, test := range map[string]struct {
		rate    int // images/s once the dispatcher is gone
		restart bool
		want    func(fewest, most int) bool
	}{
		"the load stays, a new dispatcher comes":    {200, true, func(fewest, most int) bool { return fewest == steady && most == steady }},
		"the load stays at the other":               {200, false, func(fewest, most int) bool { return fewest == steady && most == steady }},
		"the load doubles at once":                  {400, false, func(fewest, most int) bool { return fewest == steady && most >= 20 }},
		"the load ends with the dispatcher's part":  {100, false, func(fewest, most int) bool { return fewest == steady && most == steady }},
		"the load doubles, a new dispatcher has it": {400, true, func(fewest, most int) bool { return fewest == steady && most >= 20 }},
	} {
		f := newFleet(t)
		f.scale.Desired = steady
		for i := range steady {
			created := f.now.Add(-time.Hour)
			f.scale.Replicas = append(f.scale.Replicas, autoscale.Replica{Name: fmt.Sprint(i), Created: created, ReadyAt: created.Add(3 * time.Second), Ready: true})
		}
		a := newAutoscaler(t, Config{Dispatchers: []string{"http://x"}, Scaler: newScaler(3),
			NewPolicy: func() autoscale.Policy { return autoscale.NewDeadline(autoscale.DeadlineConfig{}) }})
		f.listed = []string{"http://a", "http://b"}
		f.start("http://a", "a", 100, time.Hour)
		f.start("http://b", "b", 100, time.Hour)
		decide := func(seconds int) (fewest, most int) {
			fewest, most = 1000, 0
			for range seconds {
				f.seconds(1)
				n := a.decide(f.now, f.s).Replicas
				fewest, most = min(fewest, n), max(most, n)
			}
			return fewest, most
		}
		if fewest, most := decide(25); fewest != steady || most != steady {
			t.Fatalf("%s: %d to %d replicas before, want %d", name, fewest, most, steady)
		}
		f.stop("http://a") // 8 s before DNS shows it
		if test.restart {
			f.start("http://c", "c", 0, 0)
		}
		for _, p := range f.all {
			p.rate = test.rate / len(f.all)
		}
		fewest, most := decide(8)
		f.listed = []string{"http://b"}
		if test.restart {
			f.listed = append(f.listed, "http://c")
		}
		fewestThen, mostThen := decide(4)
		if fewest, most = min(fewest, fewestThen), max(most, mostThen); !test.want(fewest, most) {
			t.Errorf("%s: %d to %d replicas within 12 s", name, fewest, most)
		}
	}
}

// TestADispatcherThatDrains has a dispatcher that is gone from DNS but still works: it counts until it ends, and is not missed then.
func TestADispatcherThatDrains(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.listed = []string{"http://a", "http://b"}
	f.start("http://a", "a", 100, time.Hour)
	f.start("http://b", "b", 100, time.Hour)
	f.seconds(5)
	f.listed = []string{"http://a"}
	f.expect(90, 200)
	if f.s.InFlight != 2 {
		t.Errorf("%d in flight, want those of the one that drains too", f.s.InFlight)
	}
	f.stop("http://b")
	f.seconds(6)
	f.expect(5, 100)
	if !f.s.Missed.IsZero() || f.s.InFlight != 1 {
		t.Errorf("after its end: missed %v, %d in flight", f.s.Missed, f.s.InFlight)
	}
}

// TestAnAddressThatOthersGet checks that an address is dropped when another process answers there.
func TestAnAddressThatOthersGet(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.listed = []string{"http://a", "http://b"}
	f.start("http://a", "a", 100, time.Hour)
	f.start("http://b", "b", 100, time.Hour)
	f.seconds(5)
	f.listed = []string{"http://a"}
	f.stop("http://b")
	f.start("http://b", "of another installation", 1000, 0)
	f.seconds(6)
	f.expect(5, 100)
	if got := f.ledger.urls(); !slices.Equal(got, f.listed) {
		t.Errorf("asks %q, want %q", got, f.listed)
	}
	f.listed = []string{"http://a", "http://b"}
	f.expect(1, 100)
	f.expect(5, 1100) // DNS shows that it belongs here
}

// TestOneDispatcherAtTwoAddresses checks that a dispatcher with an IPv4 and an IPv6 address is counted once.
func TestOneDispatcherAtTwoAddresses(t *testing.T) {
	t.Parallel()
	l, now := newLedger(time.Second), time.Unix(1_000_000, 0)
	p := &process{id: "a", started: now.Add(-time.Hour), offered: 1_000_000}
	l.list([]string{"http://127.0.0.1", "http://[::1]"})
	for range 10 {
		now = now.Add(time.Second)
		earlier := p.status(now)
		p.offered += 10
		l.take("http://127.0.0.1", now, p.status(now.Add(time.Millisecond)))
		l.take("http://[::1]", now.Add(-time.Millisecond), earlier)
		l.settle(now, false)
	}
	if s := l.snapshot(autoscale.Scale{}); s.Offered != 1_000_100 || s.InFlight != 1 {
		t.Errorf("%d images, %d in flight, want 1000100 and 1", s.Offered, s.InFlight)
	}
}

// TestUptimeIsTimeThatPassed checks that restarts do not reset uptime and two dispatchers do not double it.
func TestUptimeIsTimeThatPassed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.listed = []string{"http://a", "http://b"}
	f.start("http://a", "a", 100, time.Hour)
	f.start("http://b", "b", 100, time.Minute)
	f.seconds(10)
	f.stop("http://a")
	f.start("http://a", "a2", 100, 0)
	f.seconds(10)
	if want := time.Hour + 20*time.Second; f.s.Uptime != want {
		t.Errorf("uptime %s, want %s", f.s.Uptime, want)
	}
}

// TestALongInstanceIsNotKept bounds the memory that a dispatcher can make us use.
func TestALongInstanceIsNotKept(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxInstanceID+1)
	l, now := newLedger(time.Second), time.Unix(1_000_000, 0)
	l.list([]string{"http://a"})
	for i, id := range []string{long[1:], long} {
		l.take("http://a", now.Add(time.Duration(i)*time.Second), (&process{id: id}).status(now))
		if kept := l.state.Instances[id] != nil; kept != (len(id) <= maxInstanceID) {
			t.Errorf("an instance of %d bytes is kept: %v", len(id), kept)
		}
	}
}

// TestLedgerContinuesAfterARestart has the autoscaler down for 20 s: that time is counted at its true rate, also
// with a state file of an earlier version, which has counts by URL.
func TestLedgerContinuesAfterARestart(t *testing.T) {
	t.Parallel()
	for name, rewrite := range map[string]func(collected) collected{
		"same version": func(c collected) collected { return c },
		"by URL": func(c collected) collected {
			old := collected{Total: c.Total, Seen: map[string]autoscale.Counters{}, SeenAt: map[string]time.Time{}}
			for _, i := range c.Instances {
				old.Seen[i.URL], old.SeenAt[i.URL] = i.Counters, i.At
			}
			old.Seen["http://gone"], old.SeenAt["http://gone"] = autoscale.Counters{Offered: 5}, c.At.Add(-time.Hour)
			return old
		},
	} {
		f := newFleet(t)
		f.listed = []string{"http://a", "http://b"}
		f.start("http://a", "a", 100, time.Hour)
		f.start("http://b", "b", 100, time.Hour)
		f.seconds(10)
		data, err := json.Marshal(rewrite(f.ledger.state))
		if err != nil {
			t.Fatal(err)
		}
		var state collected
		if err := json.Unmarshal(data, &state); err != nil {
			t.Fatal(err)
		}
		savedAt := f.now.Add(100 * time.Millisecond)
		f.ledger = newLedger(time.Second)
		for range 20 {
			f.now = f.now.Add(time.Second)
			for _, p := range f.all {
				p.offered += 100
			}
		}
		f.ledger.restore(state, savedAt)
		if got := len(f.ledger.state.Instances); got != 2 || f.ledger.state.Seen != nil || !f.ledger.state.At.Equal(f.s.At) {
			t.Errorf("%s: %d instances at %v, want the two that were there at %v", name, got, f.ledger.state.At, f.s.At)
		}
		f.expect(5, 200)
	}
}

// TestAnEmptyStateChangesNothing loads a state file without figures, and one without dispatchers.
func TestAnEmptyStateChangesNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{}`, `{"total":{"offered":5}}`, `{"instances":{"a":null}}`, `{"seen":{}}`} {
		var state collected
		if err := json.Unmarshal([]byte(text), &state); err != nil {
			t.Fatal(err)
		}
		f := newFleet(t)
		f.ledger.restore(state, f.now)
		f.listed = []string{"http://a"}
		f.start("http://a", "a", 100, time.Hour)
		f.seconds(1)
		f.expect(5, 100)
	}
}
