package observe

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// fakeHost has two networks that give a picture, which is its first byte, that class; but int8 errs on some.
type fakeHost struct {
	errs     func(picture byte) bool
	refuses  error // Prepare's
	plain    bool  // the other precision is not calibrated
	int8     bool  // what answers
	turns    int   // taken and not given back
	kept     []byte
	forgot   bool
	runners  int // not closed
	observer *Observer
}

type fakeRunner struct {
	host *fakeHost
	int8 bool
}

func (h *fakeHost) Turn(ctx context.Context) (func(), error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	h.turns++
	return func() { h.turns-- }, nil
}

func (h *fakeHost) Precision() (string, bool) {
	return map[bool]string{false: "int8", true: "bf16"}[h.plain], !h.plain
}

func (h *fakeHost) Prepare(pictures [][]byte, between func() error) error {
	for _, p := range pictures {
		h.kept = append(h.kept, p[0])
		if err := between(); err != nil {
			return err
		}
	}
	return h.refuses
}

func (h *fakeHost) Other() Runner {
	h.runners++
	return fakeRunner{h, !h.int8}
}

func (h *fakeHost) Adopt(ctx context.Context) error {
	h.int8 = ctx.Err() == nil
	return ctx.Err()
}

func (h *fakeHost) Withdraw(ctx context.Context) error {
	h.int8 = false
	return ctx.Err()
}

func (h *fakeHost) Forget() error {
	h.forgot = true
	return nil
}

func (r fakeRunner) Forward(logits []float32, input []byte) {
	clear(logits)
	class := int(input[0])
	if r.int8 && r.host.errs != nil && r.host.errs(input[0]) {
		class = 999
	}
	logits[class] = 1
}

func (r fakeRunner) Close() { r.host.runners-- }

// offer answers a picture as the engine would, and waits until the observer has dealt with it.
func (h *fakeHost) offer(picture int) {
	input := make([]byte, 12)
	input[0] = byte(picture)
	logits := make([]float32, 1000)
	fakeRunner{h, h.int8}.Forward(logits, input)
	h.observer.Offer(input, logits)
	synctest.Wait()
}

// observed runs a test with an observer at work, and checks what it leaves behind.
func observed(t *testing.T, cfg Config, h *fakeHost, test func(states *[]State)) {
	synctest.Test(t, func(t *testing.T) {
		var states []State
		cfg.Changed = func(s Status) { states = append(states, s.State) }
		h.observer = New(cfg, h)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.observer.Run(ctx)
		}()
		synctest.Wait()
		test(&states)
		cancel()
		<-ended
		if h.turns != 0 || h.runners != 0 {
			t.Errorf("%d turns not given back, %d runners not closed", h.turns, h.runners)
		}
	})
}

func TestAdopts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		share  float64
		forgot bool
		after  int // pictures that are checked of 100 that int8 answers
	}{
		"no checks":   {-1, true, 0},
		"all checked": {1, false, 100},
		"one in ten":  {0.1, false, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &fakeHost{errs: func(picture byte) bool { return picture == 9 }}
			observed(t, Config{Pictures: 10, Agreement: 0.9, Share: test.share}, h, func(states *[]State) {
				if s := h.observer.Status(); s.State != Observing || !math.IsNaN(s.Agreement) || s.Wanted != 0.9 {
					t.Errorf("starts as %+v", s)
				}
				for i := range 20 {
					h.offer(i % 10)
				}
				if want := []State{Calibrating, Comparing, Adopted}; !slices.Equal(*states, want) {
					t.Errorf("went through %v, want %v", *states, want)
				}
				if want := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(h.kept, want) {
					t.Errorf("calibrated with %v, want %v", h.kept, want)
				}
				s := h.observer.Status()
				if !h.int8 || h.forgot != test.forgot || s.Observed != 10 || s.Compared != 10 || s.Equal != 9 || s.Agreement != 0.9 {
					t.Errorf("int8 answers %t, fp32 forgotten %t, %+v", h.int8, h.forgot, s)
				}
				for i := range 100 {
					h.offer(i % 9)
				}
				if s := h.observer.Status(); s.Compared != 10+test.after || s.Equal != 9+test.after {
					t.Errorf("after 100 more: %+v, want %d compared", s, 10+test.after)
				}
			})
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		host   fakeHost
		states []State
		want   string
	}{
		"labels":      {fakeHost{errs: func(picture byte) bool { return picture > 7 }}, []State{Calibrating, Comparing, Refused}, "agreed with fp32 on 80.0 % of 10 labels, wanted 90.0 %"},
		"calibration": {fakeHost{refuses: errors.New("no scale")}, []State{Calibrating, Refused}, "no scale"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &test.host
			observed(t, Config{Pictures: 10, Agreement: 0.9}, h, func(states *[]State) {
				for i := range 50 {
					h.offer(i % 10)
				}
				s := h.observer.Status()
				if !slices.Equal(*states, test.states) || !strings.Contains(s.Problem, test.want) || h.int8 {
					t.Errorf("went through %v, %+v, int8 answers %t", *states, s, h.int8)
				}
			})
		})
	}
}

// TestAdoptsWithoutCalibration has a precision compared from the first picture on.
func TestAdoptsWithoutCalibration(t *testing.T) {
	t.Parallel()
	for errs, want := range map[bool]State{false: Adopted, true: Refused} {
		h := &fakeHost{plain: true, errs: func(byte) bool { return errs }}
		observed(t, Config{Pictures: 5}, h, func(states *[]State) {
			if s := h.observer.Status(); s.State != Comparing || s.Precision != "bf16" {
				t.Errorf("starts as %+v", s)
			}
			for i := range 5 {
				h.offer(i)
			}
			s := h.observer.Status()
			if want := []State{Calibrating, Comparing, want}; !slices.Equal(*states, want) || len(h.kept) > 0 || s.Observed != 0 || s.Compared != 5 {
				t.Errorf("went through %v with %d pictures kept, %+v; want %v", *states, len(h.kept), s, want)
			}
			if errs && !strings.HasPrefix(s.Problem, "bf16 agreed with fp32 on 0.0 %") {
				t.Errorf("problem: %q", s.Problem)
			}
		})
	}
}

// TestWithdraws has int8 err on everything after it was adopted.
func TestWithdraws(t *testing.T) {
	t.Parallel()
	broken := false
	h := &fakeHost{errs: func(byte) bool { return broken }}
	observed(t, Config{Pictures: 4, Share: 1}, h, func(states *[]State) {
		for i := range 8 {
			h.offer(i)
		}
		broken = true
		n := 0
		for ; h.int8; n++ {
			h.offer(n % 10)
		}
		s := h.observer.Status()
		if want := []State{Calibrating, Comparing, Adopted, Withdrawn}; !slices.Equal(*states, want) || n != checks/2 {
			t.Errorf("went through %v in %d checks, want %v in %d", *states, n, want, checks/2)
		}
		if !strings.Contains(s.Problem, "on 0.0 % of the last 128 labels") {
			t.Errorf("problem: %q", s.Problem)
		}
	})
}

// TestEnds ends the observer in each state: it must give back what it has, and change nothing.
func TestEnds(t *testing.T) {
	t.Parallel()
	for _, pictures := range []int{0, 1, 3, 4, 6, 9} {
		h := &fakeHost{}
		observed(t, Config{Pictures: 3, Share: 1}, h, func(*[]State) {
			for i := range pictures {
				h.offer(i)
			}
		})
		if s := h.observer.Status(); s.Problem != "" {
			t.Errorf("after %d pictures: %+v", pictures, s)
		}
	}
}

// TestChecks: when int8 is refused, and when it is withdrawn.
func TestChecks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name             string
		equal, of        int
		refuse, withdraw bool
	}{
		{"all", 200, 200, false, false},
		{"enough", 190, 200, false, false},
		{"too few before, chance later", 188, 200, true, false},
		{"too few", 170, 200, true, true},
		{"not enough to judge", 20, 100, false, false},
		{"the last count", 300, 500, true, true},
	} {
		o := &Observer{cfg: Config{Pictures: 200, Agreement: 0.95}}
		var n int
		var share float64
		for i := range test.of {
			n, share = o.record(i < test.equal)
		}
		if refuse := o.checkAdoption(n, share) != nil; refuse != test.refuse {
			t.Errorf("%s: refused %t", test.name, refuse)
		}
		if withdraw := o.checkDrift(n, share) != nil; withdraw != test.withdraw {
			t.Errorf("%s: withdrawn %t", test.name, withdraw)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	for name, c := range map[string]Config{
		"pictures": {Pictures: -1}, "agreement": {Agreement: 1.5}, "share": {Share: 2}, "no number": {Agreement: math.NaN()},
	} {
		if c.Validate() == nil {
			t.Errorf("%s: %+v is valid", name, c)
		}
	}
}
