//go:build soak && linux

package soak

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// memoryLimit is the maximum of each process, in MiB.
const memoryLimit = 512

// process is one of the two programs under test.
type process struct {
	*harness.Process
	url     string
	samples []sample
}

// sample is what a process uses at one time.
type sample struct {
	mib int // resident memory
	harness.Gauges
}

// start starts the command and waits until it is ready.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	addr := harness.FreeAddr(t)
	program := harness.Program(t)
	p := &process{url: "http://" + addr, Process: harness.Start(t, args[0], func() *exec.Cmd {
		cmd := exec.Command(program, append(args, "--addr", addr)...)
		cmd.Env = append(os.Environ(), "GOMEMLIMIT=430MiB")
		return cmd
	})}
	if err := harness.AwaitOK(t.Context(), time.Minute, p.url+"/health/ready"); err != nil {
		t.Fatal(err)
	}
	return p
}

// take adds a sample. A server that is too busy to answer /metrics is sampled the next time.
func (p *process) take(ctx context.Context) {
	g, err := harness.ReadGauges(ctx, p.url)
	if err == nil {
		p.samples = append(p.samples, sample{mib: p.status("VmRSS") >> 10, Gauges: g})
	}
}

// status returns a value of /proc/PID/status, in KiB for memory; 0 if there is none.
func (p *process) status(name string) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	for line := range strings.Lines(string(text)) {
		var n int
		if _, err := fmt.Sscanf(line, name+": %d", &n); err == nil {
			return n
		}
	}
	return 0
}

// judge checks the memory limit, and that the last third of the samples is not above the second.
func (p *process) judge(t *testing.T) {
	t.Helper()
	if err := p.Crashed(); err != nil {
		t.Error(err)
	}
	peak := p.status("VmHWM") >> 10
	third := len(p.samples) / 3
	if third == 0 {
		t.Fatalf("%s: only %d samples", p.Name(), len(p.samples))
	}
	var most [3]sample
	for i, s := range p.samples {
		m := &most[min(i/third, 2)]
		m.mib, m.Goroutines, m.OpenFDs = max(m.mib, s.mib), max(m.Goroutines, s.Goroutines), max(m.OpenFDs, s.OpenFDs)
	}
	t.Logf("%s: peak %d MiB; most in each third: memory %d, %d, %d MiB; goroutines %d, %d, %d; descriptors %d, %d, %d", p.Name(), peak,
		most[0].mib, most[1].mib, most[2].mib, most[0].Goroutines, most[1].Goroutines, most[2].Goroutines, most[0].OpenFDs, most[1].OpenFDs, most[2].OpenFDs)
	if peak > memoryLimit {
		t.Errorf("%s used %d MiB, limit %d", p.Name(), peak, memoryLimit)
	}
	grows := func(what string, second, last, slack int) {
		if last > second*5/4+slack {
			t.Errorf("%s: %s grow from at most %d in the second third to %d in the last", p.Name(), what, second, last)
		}
	}
	grows("MiB", most[1].mib, most[2].mib, 48)
	grows("goroutines", most[1].Goroutines, most[2].Goroutines, 100)
	grows("descriptors", most[1].OpenFDs, most[2].OpenFDs, 50)
}

// TestSoak runs all kinds of clients for SOAK_SECONDS.
func TestSoak(t *testing.T) {
	length := time.Duration(harness.Setting(t, "SOAK_SECONDS", 120)) * time.Second
	ttl := max(length/6, time.Minute)
	replica := start(t, "replica", "--random-weights",
		"--max-decode-bytes", "201326592", "--max-upload-bytes", "67108864") // as in k8s/deployment.yaml
	dispatcher := start(t, "dispatcher", "--data-dir", t.TempDir(), "--endpoints", replica.url,
		"--max-upload-bytes", "100663296", "--max-working-bytes", "100663296", // as in k8s/dispatcher.yaml
		"--result-ttl", ttl.String())
	c := newClients(t, dispatcher.url, ttl)

	// What a quiet system uses is compared with what it uses after all clients have left.
	c.goodFor(t.Context(), 5*time.Second)
	c.reset()
	before := map[*process]harness.Gauges{}
	for _, p := range []*process{dispatcher, replica} {
		g, err := harness.ReadGauges(t.Context(), p.url)
		if err != nil {
			t.Fatal(err)
		}
		before[p] = g
	}

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	stop := c.start(ctx)
	for interval := length / 60; ctx.Err() == nil; pause.For(ctx, interval) {
		dispatcher.take(t.Context())
		replica.take(t.Context())
	}
	stop()
	c.leave()
	c.judge(t)
	if err := harness.Await(t.Context(), time.Minute, func(ctx context.Context) error { return harness.Settled(ctx, dispatcher.url) }); err != nil {
		t.Error(err)
	}
	for _, p := range []*process{dispatcher, replica} {
		p.judge(t)
		err := harness.Await(t.Context(), 2*time.Minute, func(ctx context.Context) error {
			g, err := harness.ReadGauges(ctx, p.url)
			if err == nil {
				err = g.Grown(before[p])
			}
			return err
		})
		if err != nil {
			t.Errorf("%s after all clients have left: %v", p.Name(), err)
		}
		if log := p.Log(); strings.Contains(log, "panic") {
			t.Errorf("%s has panicked", p.Name())
		} else if perSecond := len(log) / int(length.Seconds()); perSecond > 20_000 {
			t.Errorf("%s logs %d bytes a second", p.Name(), perSecond)
		}
		if err := p.Down(syscall.SIGTERM); err != nil {
			t.Errorf("stop %s: %v", p.Name(), err)
		}
	}
}
