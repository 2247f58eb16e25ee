//go:build chaos && linux

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
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

// TestSoak sends distinct images at an even rate, for CHAOS_SOAK_SECONDS (60), and holds that a dispatcher
// with the server inside does not grow: its memory in the last third is at most a quarter, and 32 MiB, above
// that of the second. The first third fills caches and pools.
func TestSoak(t *testing.T) {
	const perSecond, samples = 200, 30
	seconds, seed := setting(t, "CHAOS_SOAK_SECONDS", 60), uint64(setting(t, "CHAOS_SEED", 1))
	s := startSystem(t, seed, false)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Duration(seconds)*time.Second+time.Minute)
	defer cancel()

	n := perSecond * seconds
	var most [3]int // KiB, in each third
	var sending sync.WaitGroup
	pace := time.NewTicker(time.Second / perSecond)
	defer pace.Stop()
	for i := range n {
		<-pace.C
		if i%(n/samples) == 0 {
			third := 3 * i / n
			most[third] = max(most[third], residentKiB(t, s.dispatchers[0]))
		}
		sending.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			content := fmt.Appendf(make([]byte, 0, 100<<10), "soak %d of seed %d ", i, seed)[:100<<10]
			id, err := s.submit(ctx, content, fmt.Sprintf("soak-%d-%d", seed, i), rng)
			if err != nil {
				t.Errorf("request %d: %v", i, err)
			}
			if e, status := s.result(ctx, id, "10s", rng); e.Status != "completed" || e.Result.Predictions[0] != label(content) {
				t.Errorf("request %d: %d %+v", i, status, e)
			}
		})
	}
	sending.Wait()
	t.Logf("%d images in %d s; most memory in each third: %d, %d, %d MiB", n, seconds, most[0]>>10, most[1]>>10, most[2]>>10)
	if most[2] > most[1]*5/4+32<<10 {
		t.Errorf("memory grows: %d MiB in the second third, %d in the last", most[1]>>10, most[2]>>10)
	}
}
