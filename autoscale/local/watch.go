package local

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/pause"
	"github.com/resnet18cloud/resnet18cloud/internal/procs"
)

// retryStart is the time between two attempts to start a process that the system refuses to start.
const retryStart = time.Second

// supervise runs one replica until ctx ends, on another port if its port is taken.
func (r *Replicas) supervise(ctx context.Context, one *replica) error {
	defer r.update(func() { delete(r.ports, one.port); r.change() }) // the port may be one that another waits for
	for {
		var port int
		r.update(func() { port = one.port })
		p := r.cfg.Command(one.name, r.addr(port))
		p.While = func(ctx context.Context, pid int) { r.watch(ctx, one, "http://"+r.addr(port), pid) }
		err := p.Run(ctx)
		if err == nil { // it was told to stop
			return nil
		}
		var fatal bool
		r.update(func() {
			if !errors.Is(err, procs.ErrGaveUp) { // it could not be started, such as without memory
				fatal = !r.proven
			} else if l, listenErr := net.Listen("tcp", r.addr(port)); listenErr != nil {
				err = errors.Join(err, r.place(one))
			} else {
				l.Close()
				fatal = !r.proven
			}
		})
		if fatal {
			return err
		}
		r.cfg.Log.Error("replica keeps failing; retrying", "replica", one.name, "error", err)
		if !errors.Is(err, procs.ErrGaveUp) {
			pause.For(ctx, retryStart)
		}
	}
}

// watch follows a process from its start to its exit.
func (r *Replicas) watch(alive context.Context, one *replica, url string, pid int) {
	r.update(func() { one.pid = pid })
	started := time.Now()
	if r.awaitReady(alive, url, pid) {
		r.cfg.Log.Info("replica ready", "replica", one.name, "url", url, "after", time.Since(started).Round(time.Millisecond).String())
		r.update(func() {
			one.ready, r.proven = true, true
			if one.readyAt.IsZero() {
				one.readyAt = time.Now()
			}
		})
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

// probeInterval is the time between two readiness probes of a starting replica, which takes about half a second.
const probeInterval = 20 * time.Millisecond

// awaitReady probes a process until it is ready, and reports whether it became so before ctx ended.
func (r *Replicas) awaitReady(ctx context.Context, url string, pid int) bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			if answersReady(ctx, &client, url) == pid {
				return true
			}
		}
	}
}

// maxReadyBytes limits what is read of a response, which has about 60 bytes.
const maxReadyBytes = 4 << 10

// answersReady is the id of the process that is ready at url; 0 if there is none. Two programs that start at the
// same time may find the same port free: the replica of the other must not be mistaken for ours.
func answersReady(ctx context.Context, client *http.Client, url string) (pid int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/health/ready", nil)
	if err != nil { // the URL is ours
		panic(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var body struct {
		PID int `json:"pid"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReadyBytes)).Decode(&body); err != nil || resp.StatusCode != http.StatusOK {
		return 0
	}
	return body.PID
}

// announce announces the ready replicas.
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
