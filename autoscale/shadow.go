package autoscale

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/queueing"
)

// Shadow lets a policy scale replicas that exist only in a model, beside whatever scales the real ones. Without that, a
// policy that is only asked decides from the replicas that another one has started, and agrees with it most of the time.
// Both are judged by the same model: how late images would have been, and how many replica-seconds that takes.
//
// The model is a fluid queue, second by second: the images that came, the measured speed of a worker, and the replicas
// that were ready. Replicas of the shadow start in times that real ones took.
type Shadow struct {
	policy Policy
	slo    time.Duration
	memory[shadowState]
}

type shadowState struct {
	Since    time.Time `json:"since"`
	Last     time.Time `json:"last"` // last tick
	Desired  int       `json:"desired"`
	Replicas []Replica `json:"replicas"`
	Made     int       `json:"made"`
	Speed    speed     `json:"speed"`
	Delays   delays    `json:"delays"`
	Counters Counters  `json:"counters"` // real ones, at Read
	Read     time.Time `json:"read"`
	Virtual  Counters  `json:"virtual"` // as the policy sees them
	Own      fluid     `json:"own"`
	Acting   fluid     `json:"acting"`
}

// NewShadow makes a shadow of a policy. Zero as SLO means 500 ms.
func NewShadow(p Policy, slo time.Duration) *Shadow {
	return &Shadow{policy: p, slo: DeadlineConfig{SLO: slo}.withDefaults().SLO}
}

var _ Policy = (*Shadow)(nil)

// Name is that of the policy.
func (p *Shadow) Name() string { return p.policy.Name() }

// State implements [Policy].
func (p *Shadow) State() ([]byte, error) {
	inner, err := p.policy.State()
	if err != nil {
		return nil, err
	}
	own, err := p.memory.State()
	if err != nil {
		return nil, err
	}
	return json.Marshal(savedShadow{own, inner})
}

type savedShadow struct {
	Shadow json.RawMessage `json:"shadow"`
	Policy json.RawMessage `json:"policy"`
}

// Restore implements [Policy].
func (p *Shadow) Restore(state []byte) error {
	var saved savedShadow
	if err := json.Unmarshal(state, &saved); err != nil {
		return fmt.Errorf("read state of a shadow: %w", err)
	}
	if err := p.policy.Restore(saved.Policy); err != nil {
		return err
	}
	return p.memory.Restore(saved.Shadow)
}

// Decide implements [Policy]. The decision is about the replicas of the shadow.
func (p *Shadow) Decide(now time.Time, s Snapshot) Decision {
	st := &p.state
	st.Delays.observe(s.Replicas)
	if st.Since.IsZero() || now.Sub(st.Last) > time.Minute { // it begins with what there is
		st.Since, st.Desired, st.Own, st.Acting = now, s.Desired, fluid{}, fluid{}
		st.Replicas = slices.DeleteFunc(slices.Clone(s.Replicas), func(r Replica) bool { return r.Stopping })
		for i := range st.Replicas {
			st.Replicas[i].CPU, st.Replicas[i].InFlight = nil, 0
		}
	}
	elapsed := now.Sub(st.Last)
	if st.Last.IsZero() {
		elapsed = 0
	}
	st.Last = now
	p.start(now)
	p.pass(s, elapsed.Seconds())

	seen := s
	seen.Counters, seen.Desired, seen.Replicas = st.Virtual, st.Desired, slices.Clone(st.Replicas)
	seen.Queue = int(st.Own.Queue)
	if rate := st.Speed.rate(); rate > 0 {
		seen.InFlight = int(math.Round(min(st.Own.Rate/rate, float64(seen.Ready())*seen.Workers())))
	}
	d := p.policy.Decide(now, seen)
	p.scale(now, d.Replicas)
	d.Figures = append(d.Figures, Figure{"shadow_late_ratio", st.Own.share()}, Figure{"acting_late_ratio", st.Acting.share()},
		Figure{"shadow_cost_ratio", p.Account().Cost})
	return d
}

// start makes replicas ready whose time has come.
func (p *Shadow) start(now time.Time) {
	for i := range p.state.Replicas {
		if r := &p.state.Replicas[i]; !r.Ready && now.Sub(r.Created) >= p.delay(i) {
			r.Ready = true
			if r.ReadyAt.IsZero() {
				r.ReadyAt = now
			}
		}
	}
}

// delay is the time that the ith replica takes to start: one of those observed, in turn.
func (p *Shadow) delay(i int) time.Duration {
	seconds := priorDelay * earlyStart
	if seen := p.state.Delays.Seconds; len(seen) > 0 {
		seconds = seen[i%len(seen)]
	}
	return time.Duration(seconds * float64(time.Second))
}

// pass lets the images since the last snapshot pass through both models.
func (p *Shadow) pass(s Snapshot, elapsed float64) {
	st := &p.state
	own := Snapshot{Replicas: st.Replicas}
	st.Own.ReplicaSeconds += elapsed * float64(st.Desired)
	st.Acting.ReplicaSeconds += elapsed * float64(max(s.Desired, s.existing()))
	if s.At.IsZero() || !s.At.After(st.Read) {
		return
	}
	before, first, seconds := st.Counters, st.Read.IsZero(), s.At.Sub(st.Read).Seconds()
	st.Counters, st.Read = s.Counters, s.At
	images, done, busy := s.Offered-before.Offered, s.Completed-before.Completed, s.Service-before.Service
	if first || images < 0 || done < 0 || busy < 0 {
		st.Virtual = s.Counters
		return
	}
	st.Speed.observe(float64(done), busy.Seconds(), seconds)
	rate := st.Speed.rate()
	if rate == 0 {
		return
	}
	slack := slack(p.slo, rate)
	served := st.Own.pass(float64(images), seconds, rate, float64(own.Ready())*s.Workers(), slack, s.QueueCapacity)
	st.Acting.pass(float64(images), seconds, rate, float64(s.Ready())*s.Workers(), slack, s.QueueCapacity)
	st.Virtual.Uptime = s.Uptime
	st.Virtual.Offered += images
	st.Virtual.Completed += int64(math.Round(served))
	st.Virtual.Service += time.Duration(math.Round(served) / rate * float64(time.Second))
}

// scale sets the number of replicas: those that start leave first, and the newest of them.
func (p *Shadow) scale(now time.Time, n int) {
	st := &p.state
	for st.Desired = max(0, n); len(st.Replicas) < st.Desired; {
		st.Made++
		st.Replicas = append(st.Replicas, Replica{Name: "shadow-" + strconv.Itoa(st.Made), Created: now, Workers: workersOf(st.Replicas)})
	}
	for i := len(st.Replicas) - 1; i >= 0 && len(st.Replicas) > st.Desired; i-- {
		if !st.Replicas[i].Ready {
			st.Replicas = slices.Delete(st.Replicas, i, i+1)
		}
	}
	st.Replicas = st.Replicas[:min(len(st.Replicas), st.Desired)]
}

// workersOf is the number of workers of replicas, which all have the same; 0 if it is unknown.
func workersOf(replicas []Replica) int {
	if len(replicas) == 0 {
		return 0
	}
	return replicas[0].Workers
}

// fluid is a queue in which images flow like water.
type fluid struct {
	Queue          float64 `json:"queue"` // images that wait
	Rate           float64 `json:"rate"`  // images/s that are served
	Images         float64 `json:"images"`
	Late           float64 `json:"late"` // or refused
	ReplicaSeconds float64 `json:"replica_seconds"`
}

// pass lets images pass that came in some seconds, through workers of a rate, and returns how many were served. An image
// is late if more wait before it than are served within slack, in seconds; of the others, the share by Erlang's C
// formula.
//
// Worked example: 100 images wait, 300 come within a second, and 10 workers serve 20 images/s each. 200 are served, and
// 200 wait at the end. Within a slack of 0.42 s, 84 are served: more wait before all of the 300, and all are late. With
// 30 workers, 600 could be served; the queue is empty after 100/(600-300) = 0.33 s and less than 252 long: none is late
// but for the 0.1 % of Erlang's formula.
func (f *fluid) pass(images, seconds, rate, workers, slack float64, bound int) (served float64) {
	capacity := rate * workers * seconds
	before := f.Queue
	served = min(before+images, capacity)
	f.Queue = before + images - served
	f.Images += images
	f.Rate = served / seconds
	refused := 0.0
	if bound > 0 && f.Queue > float64(bound) {
		refused = min(images, f.Queue-float64(bound))
		f.Queue -= refused
	}
	fits := rate * workers * slack
	late := 0.0
	switch low, high := min(before, f.Queue), max(before, f.Queue); {
	case low >= fits:
		late = 1
	case high > fits: // the length changes evenly
		late = (high - fits) / (high - low)
	}
	if workers >= 1 {
		chance := queueing.WaitTail(int(workers), images/seconds, rate, queueing.Variability(1, serviceCV2), slack)
		if images/seconds < rate*workers {
			late += (1 - late) * chance
		}
	} else {
		late = 1
	}
	f.Late += refused + late*(images-refused)
	return served
}

// share is that of late images.
func (f *fluid) share() float64 { return f.Late / max(1, f.Images) }

// Account compares a shadow with what acts, since some time.
type Account struct {
	Policy string    `json:"policy"`
	Since  time.Time `json:"since"`
	Late   float64   `json:"late_ratio"`        // share of images that would have been late with the shadow's replicas
	Acting float64   `json:"acting_late_ratio"` // the same with the real ones
	Cost   float64   `json:"cost_ratio"`        // replica-seconds of the shadow over those of what acts
}

// Account is the running account.
func (p *Shadow) Account() Account {
	st := &p.state
	return Account{p.Name(), st.Since, st.Own.share(), st.Acting.share(), st.Own.ReplicaSeconds / max(1, st.Acting.ReplicaSeconds)}
}

// String is the account as a sentence.
func (a Account) String() string {
	return fmt.Sprintf("Since %s, by the same model, policy %s would have been late for %.2f %% of images, at %.2f of the replica-seconds; what acts was late for %.2f %%.",
		a.Since.UTC().Format("2006-01-02 15:04 MST"), a.Policy, 100*a.Late, a.Cost, 100*a.Acting)
}
