package observe

// State is how far an engine is on its way to its precision.
type State string

// The states in order. Refused and withdrawn are the alternative ends.
const (
	Observing   State = "observing"   // fp32 answers; pictures are kept
	Calibrating State = "calibrating" // fp32 answers; the other precision is calibrated and packed
	Comparing   State = "comparing"   // fp32 answers; the other precision computes the same pictures
	Adopted     State = "adopted"     // the other precision answers; fp32 checks a share
	Refused     State = "refused"     // fp32 answers: too few labels were equal
	Withdrawn   State = "withdrawn"   // fp32 answers again: too few labels were equal later
)

// States lists all states.
func States() []State {
	return []State{Observing, Calibrating, Comparing, Adopted, Refused, Withdrawn}
}

// Status is the present state of an Observer.
type Status struct {
	State     State
	Precision string // that is compared with fp32
	Observed  int    // pictures kept so far for calibration
	Compared  int    // pictures that both networks have answered
	Equal     int    // of those, the ones with the same best label
	// Agreement is the share of equal ones: of all so far until adoption, then of the last checks. NaN before the
	// first.
	Agreement float64
	Wanted    float64 // Config.Agreement
	Problem   string  // why fp32 answers; empty unless refused or withdrawn
}

// checks is how many of the last comparisons Agreement is computed from after adoption.
const checks = 256

// recent holds the last outcomes of comparisons.
type recent struct {
	equal [checks]bool
	n     int
}

func (r *recent) add(equal bool) { r.equal[r.n%checks] = equal; r.n++ }

// share returns how many of the last outcomes are kept, and which share of them is equal.
func (r *recent) share() (n int, share float64) {
	n = min(r.n, checks)
	sum := 0
	for _, equal := range r.equal[:n] {
		if equal {
			sum++
		}
	}
	return n, float64(sum) / float64(n)
}
