//go:build chaos && linux

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// residentKiB is the memory a process holds, from /proc/PID/status.
func residentKiB(t *testing.T, p *process) int {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestSoak sends distinct images at an even rate, or at what the machine can do where that is less, for
// CHAOS_SOAK_SECONDS (60), and holds that a dispatcher with the server inside does not grow: its memory in the last third
// is at most a quarter, and 32 MiB, above that of the second. Results are kept for so short a time that the first third
// fills what is bounded by time, as it fills caches and pools.
func TestSoak(t *testing.T) {
	const samples = 30
	seed, length := uint64(setting(t, "CHAOS_SEED", 1)), time.Duration(setting(t, "CHAOS_SOAK_SECONDS", 60))*time.Second
	s := startSystem(t, seed, false, "--result-ttl", max(length/6, 30*time.Second).String())
	ctx, cancel := context.WithTimeout(t.Context(), length+5*time.Minute)
	defer cancel()

	pace := time.NewTicker(time.Second / 200)
	defer pace.Stop()
	var sent atomic.Int64
	var sending sync.WaitGroup
	start := time.Now()
	for w := range workers {
		sending.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for time.Since(start) < length {
				<-pace.C
				s.soak(ctx, t, fmt.Sprintf("soak-%d-%d", seed, sent.Add(1)), rng)
			}
		})
	}
	var most [3]int   // KiB, in each third
	series := []int{} // MiB, of all samples
	for i := range samples {
		pause(ctx, time.Until(start.Add(time.Duration(i+1)*length/samples)))
		now := residentKiB(t, s.dispatchers[0])
		most[3*i/samples] = max(most[3*i/samples], now)
		series = append(series, now>>10)
	}
	sending.Wait()
	t.Logf("%d images in %s; most memory in each third: %d, %d, %d MiB", sent.Load(), length, most[0]>>10, most[1]>>10, most[2]>>10)
	t.Logf("MiB every %s: %v", length/samples, series)
	if most[2] > most[1]*5/4+32<<10 {
		t.Errorf("memory grows: %d MiB in the second third, %d in the last", most[1]>>10, most[2]>>10)
	}
}

// soak has one image classified, that no other is equal to.
func (s *system) soak(ctx context.Context, t *testing.T, name string, rng *rand.Rand) {
	content := append(make([]byte, 0, 100<<10), name...)[:100<<10]
	id, err := s.submit(ctx, content, name, rng)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	var e ended
	for status := 0; !isFinal(e.Status) && status != http.StatusNotFound && ctx.Err() == nil; {
		e, status = s.result(ctx, id, "5s", rng)
	}
	if e.Status != "completed" || e.Result.Predictions[0] != label(content) {
		t.Errorf("%s: %+v", name, e)
	}
}
