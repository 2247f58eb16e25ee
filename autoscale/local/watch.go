package local

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/procs"
)

// supervise runs one replica until ctx ends.
func (r *Replicas) supervise(ctx context.Context, one *replica) error {
	p := r.cfg.Command(one.name, net.JoinHostPort(r.cfg.Host, strconv.Itoa(one.port)))
	p.While = func(ctx context.Context, pid int) { r.watch(ctx, one, pid) }
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.ports, one.port)
	}()
	for {
		err := p.Run(ctx)
		r.mu.Lock()
		proven := r.proven
		r.mu.Unlock()
		if !errors.Is(err, procs.ErrGaveUp) || !proven {
			return err
		}
		r.cfg.Log.Error("replica does not stay up, trying on", "replica", one.name, "error", err)
	}
}

// watch accompanies a process from its start to its end.
func (r *Replicas) watch(alive context.Context, one *replica, pid int) {
	r.update(func() { one.pid = pid; one.runs++ })
	started := time.Now()
	if r.awaitReady(alive, one.url) {
		r.cfg.Log.Info("replica serves", "replica", one.name, "url", one.url, "after", time.Since(started).Round(time.Millisecond).String())
		r.update(func() { one.ready, r.proven = true, true })
		r.announce()
	}
	<-alive.Done()
	r.update(func() { one.pid, one.ready = 0, false })
	r.announce()
}

func (r *Replicas) update(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// probeInterval is how often a starting replica is asked. A replica is up in about half a second.
const probeInterval = 20 * time.Millisecond

// awaitReady asks the replica until it is ready, and reports whether that came before ctx's end.
func (r *Replicas) awaitReady(ctx context.Context, url string) bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/health/ready", nil)
		if err != nil { // the URL is ours
			panic(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return true
		}
	}
}

// announce tells which replicas serve.
func (r *Replicas) announce() {
	r.announcing.Lock()
	defer r.announcing.Unlock()
	r.mu.Lock()
	urls := make([]string, 0, len(r.all))
	for _, one := range r.all {
		if one.ready {
			urls = append(urls, one.url)
		}
	}
	r.mu.Unlock()
	r.cfg.Announce(urls)
}
