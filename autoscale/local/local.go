// Package local runs replicas as processes on this machine: as many as SetReplicas was last called with, each
// supervised and on a port of its own. It announces which of them are ready. The command up uses it: it is the scaler
// without Kubernetes.
package local

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/internal/procs"
)

// Config configures [Replicas]. Command must be given; the rest is usable as zero.
type Config struct {
	// Command is the process of a replica: it listens on the TCP address addr and, when it is ready, responds to
	// GET /health/ready with 200 and its process id, {"pid":1234}. Names are replica-1, replica-2 and so on; none is
	// used twice.
	Command func(name, addr string) procs.Process
	// Count is the initial number of replicas.
	Count int
	// Max limits Count and SetReplicas. Zero means no limit.
	Max int
	// CPUs is the number of CPUs of a replica; its CPU usage is a share of that. Zero means 1.
	CPUs int
	// Host is the address replicas listen on. Empty means 127.0.0.1.
	Host string
	// FirstPort is the first port to try; ports in use are skipped. Zero means any free ports.
	FirstPort int

	// Announce receives the URLs of the ready replicas when these change, one call at a time.
	Announce func(urls []string)
	// InFlight returns the number of images in progress by URL, so that the idlest replica is stopped first. Nil
	// means that it is not known.
	InFlight func() map[string]int
	// Log receives starts and stops. Nil discards them.
	Log *slog.Logger
}

// Replicas are the replicas on this machine. Make them with [New] and Run them once; other methods are safe
// for concurrent use.
type Replicas struct {
	cfg     Config
	changed chan struct{} // holds an element when wanted may differ from what is running

	announcing sync.Mutex // one Announce at a time, in order

	mu     sync.Mutex
	wanted int
	all    []*replica // those that are running, oldest first; those that are stopping have been removed
	made   int        // number of the newest
	ports  map[int]bool
	proven bool // a replica has been ready
}

var _ autoscale.Scaler = (*Replicas)(nil)

// replica is one process and its state; all but the name is guarded by Replicas.mu.
type replica struct {
	name  string
	port  int
	url   string
	stop  context.CancelFunc // set before the replica is in Replicas.all
	pid   int                // 0 between an exit and the next start
	ready bool

	created time.Time
	readyAt time.Time // the first time
	cpu     cpu
}

// New prepares cfg.Count replicas. It starts nothing.
func New(cfg Config) (*Replicas, error) {
	cfg.CPUs = max(1, cfg.CPUs)
	cfg.Host = cmp.Or(cfg.Host, "127.0.0.1")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Announce == nil {
		cfg.Announce = func([]string) {}
	}
	if cfg.InFlight == nil {
		cfg.InFlight = func() map[string]int { return nil }
	}
	r := &Replicas{cfg: cfg, changed: make(chan struct{}, 1), ports: make(map[int]bool)}
	return r, r.SetReplicas(context.Background(), cfg.Count, autoscale.Decision{})
}

// SetReplicas sets the number of replicas and returns; Run starts or stops the difference. The idlest are stopped
// first: they get no more images, finish those in progress, and exit.
func (r *Replicas) SetReplicas(_ context.Context, n int, _ autoscale.Decision) error {
	switch {
	case n < 0:
		return fmt.Errorf("local: %d replicas, want 0 or more", n)
	case r.cfg.Max > 0 && n > r.cfg.Max:
		return fmt.Errorf("local: %d replicas, want at most %d", n, r.cfg.Max)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = n
	r.change()
	return nil
}

// change has Run compare the wanted number with what is running.
func (r *Replicas) change() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Replicas returns how many replicas are wanted and how many are ready.
func (r *Replicas) Replicas() (wanted, ready int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.all {
		if one.ready {
			ready++
		}
	}
	return r.wanted, ready
}

// Scale returns the wanted number of replicas and describes those that are running. Their CPU usage is a mean over
// 15 s, as of a metrics server, where the system provides it.
func (r *Replicas) Scale(context.Context) (autoscale.Scale, error) {
	inFlight, now := r.cfg.InFlight(), time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	scale := autoscale.Scale{Desired: r.wanted, Replicas: make([]autoscale.Replica, 0, len(r.all))}
	for _, one := range r.all {
		seen := autoscale.Replica{Name: one.name, URL: one.url, Created: one.created, ReadyAt: one.readyAt,
			Ready: one.ready, InFlight: inFlight[one.url]}
		one.cpu.look(now, one.pid)
		seen.CPU, seen.CPUWindow = one.cpu.use(r.cfg.CPUs)
		scale.Replicas = append(scale.Replicas, seen)
	}
	return scale, nil
}
