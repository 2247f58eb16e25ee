package local

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run keeps the wanted number of replicas running until ctx ends; then it stops all and returns nil. It returns
// early if the first replica fails to start repeatedly, cannot be started or finds no port: the configuration is wrong, and further
// retries would hide that. Once a replica has been ready, the others are retried without limit.
func (r *Replicas) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-r.changed:
			}
			if err := r.reconcile(ctx, g); err != nil {
				return err
			}
		}
	})
	return g.Wait()
}

// reconcile starts or stops replicas until their number is the wanted one.
func (r *Replicas) reconcile(ctx context.Context, g *errgroup.Group) error {
	inFlight := r.cfg.InFlight()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.all) < r.wanted {
		one, err := r.add()
		if err != nil && r.proven { // those that run go on; the next change, or a replica that ends, tries again
			r.cfg.Log.Error("cannot start another replica", "wanted", r.wanted, "running", len(r.all), "error", err)
			break
		}
		if err != nil {
			return fmt.Errorf("local: %w", err)
		}
		var life context.Context
		life, one.stop = context.WithCancel(ctx)
		g.Go(func() error {
			defer one.stop()
			return r.supervise(life, one)
		})
	}
	for len(r.all) > r.wanted {
		one := r.idlest(inFlight)
		r.all = slices.DeleteFunc(r.all, func(o *replica) bool { return o == one })
		r.cfg.Log.Info("stopping replica", "replica", one.name, "url", one.url, "in_flight", inFlight[one.url])
		g.Go(func() error {
			r.announce() // before the replica stops listening
			one.stop()
			return nil
		})
	}
	return nil
}

// add creates a replica with a port. It is called with mu held.
func (r *Replicas) add() (*replica, error) {
	r.made++
	one := &replica{name: fmt.Sprintf("replica-%d", r.made), created: time.Now()}
	if err := r.place(one); err != nil {
		return nil, err
	}
	r.all = append(r.all, one)
	return one, nil
}

// place gives a replica a free port instead of the one it has. It is called with mu held.
func (r *Replicas) place(one *replica) error {
	port, err := r.freePort()
	if err != nil {
		return err
	}
	delete(r.ports, one.port)
	r.ports[port] = true
	one.port, one.url = port, "http://"+r.addr(port)
	return nil
}

// addr is the address of a replica with that port.
func (r *Replicas) addr(port int) string { return net.JoinHostPort(r.cfg.Host, strconv.Itoa(port)) }

// freePort finds a free port. Another process may take it before the replica does: see supervise. It is called
// with mu held.
func (r *Replicas) freePort() (int, error) {
	for port := r.cfg.FirstPort; port < 1<<16; port++ {
		if r.ports[port] {
			continue
		}
		l, err := net.Listen("tcp", r.addr(port))
		if err != nil {
			continue
		}
		free := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return 0, err
		}
		if !r.ports[free] {
			return free, nil
		}
		port-- // the kernel chose one that a replica is about to take: try again
	}
	return 0, fmt.Errorf("no free port for a replica from %d up", r.cfg.FirstPort)
}

// idlest is the replica to stop first: one that is not ready, else the one with the fewest images, of these the
// newest. It is called with mu held.
func (r *Replicas) idlest(inFlight map[string]int) *replica {
	ready := func(one *replica) int {
		if one.ready {
			return 1
		}
		return 0
	}
	newestFirst := slices.Clone(r.all)
	slices.Reverse(newestFirst)
	return slices.MinFunc(newestFirst, func(a, b *replica) int {
		return cmp.Or(cmp.Compare(ready(a), ready(b)), cmp.Compare(inFlight[a.url], inFlight[b.url]))
	})
}
