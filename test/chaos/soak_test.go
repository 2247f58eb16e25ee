//go:build chaos && linux

package chaos

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// soakClients is the number of concurrent clients.
const soakClients = 24

// residentKiB returns the resident memory of a process, from /proc/PID/status.
func residentKiB(t *testing.T, p *harness.Process) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
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

// TestSoak sends distinct images at a constant rate, or at the machine's maximum rate if that is lower, for
// CHAOS_SOAK_SECONDS (60), and checks that a dispatcher with an embedded server does not grow: its memory in the last
// third is at most a quarter plus 32 MiB above that of the second third. Results are kept so briefly that the first
// third fills everything limited by time, and also caches and pools.
func TestSoak(t *testing.T) {
	const samples = 30
	length := time.Duration(harness.Setting(t, "CHAOS_SOAK_SECONDS", 60)) * time.Second
	s := newSystem(t, false, "--result-ttl", max(length/6, 30*time.Second).String())
	ctx, cancel := context.WithTimeout(t.Context(), length+5*time.Minute)
	defer cancel()

	pace := time.NewTicker(time.Second / 200)
	defer pace.Stop()
	var sent atomic.Int64
	var sending sync.WaitGroup
	start := time.Now()
	for range soakClients {
		sending.Go(func() {
			client := harness.NewClient(4)
			defer client.Close()
			for time.Since(start) < length {
				<-pace.C
				s.soak(ctx, t, client, fmt.Sprintf("soak-%d-%d", s.seed, sent.Add(1)))
			}
		})
	}
	var most [3]int   // KiB, in each third
	series := []int{} // MiB, of all samples
	for i := range samples {
		pause.For(ctx, time.Until(start.Add(time.Duration(i+1)*length/samples)))
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

// soak classifies one unique image.
func (s *system) soak(ctx context.Context, t *testing.T, client *harness.Client, name string) {
	image := append(make([]byte, 0, 100<<10), name...)[:100<<10]
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	a := client.Submit(limited, s.urls[0], image, name)
	for !a.Accepted() && limited.Err() == nil {
		pause.For(limited, 200*time.Millisecond)
		a = client.Submit(limited, s.urls[0], image, name)
	}
	end := a
	for a.Accepted() && !end.Ended() && limited.Err() == nil {
		end = client.Result(limited, s.urls[0], a.RequestID, 5*time.Second)
	}
	if end.Status != "completed" || end.Result.Predictions[0] != harness.Label(image) {
		t.Errorf("%s: %+v", name, end)
	}
}
