//go:build !only_replica && !only_dispatcher

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/local"
	"github.com/resnet18cloud/resnet18cloud/internal/pause"
)

// maxReplicas is the most replicas that may be asked for while up runs. Each is a process.
const maxReplicas = 64

// upReplicas are the replicas of up for its dispatcher. local must be set before the dispatcher runs.
type upReplicas struct {
	limits     autoscale.Limits
	autoscaled bool
	local      *local.Replicas
	wanted     atomic.Int64 // for the share of CPUs of replicas that start
}

// most is how many there can be.
func (r *upReplicas) most() int {
	if r.autoscaled {
		return r.limits.Max
	}
	return max(r.limits.Max, maxReplicas)
}

// Replicas implements dispatch.Replicas.
func (r *upReplicas) Replicas() (wanted, ready int) { return r.local.Replicas() }

// SetReplicas implements dispatch.Replicas. Replicas that run keep their CPUs.
func (r *upReplicas) SetReplicas(ctx context.Context, n int) error {
	switch {
	case r.autoscaled:
		return &resnet18cloud.Error{Code: resnet18cloud.CodeConflict,
			Message: fmt.Sprintf("The autoscaler sets the number of replicas, from %d to %d", max(0, r.limits.Min), r.limits.Max),
			Hint:    "start 'up' again with another --autoscale MIN:MAX, or with --replicas"}
	case n < 1 || n > r.most():
		return &resnet18cloud.Error{Code: resnet18cloud.CodeInvalid, Message: fmt.Sprintf("%d replicas", n), Hint: fmt.Sprintf("use a number from 1 to %d", r.most())}
	}
	r.wanted.Store(int64(n))
	return r.local.SetReplicas(ctx, n, autoscale.Decision{})
}

// cpus is how many CPUs a replica that starts now may use.
func (r *upReplicas) cpus() int { return share(max(r.limits.Max, int(r.wanted.Load()))) }

type scaleCmd struct {
	Replicas    int    `arg:"" help:"Number of replicas."`
	URL         string `help:"Base URL of the dispatcher or, with --admin-addr, of that address." type:"url" placeholder:"URL" default:"http://127.0.0.1:8080" env:"RESNET18_SCALE_URL"`
	Server      string `arg:"" name:"server" optional:"" help:"Base URL of the dispatcher, or its address: the same as --url." type:"url" placeholder:"URL"`
	callerFlags `envprefix:"RESNET18_SCALE_" set:"needs=scope admin"`
}

// AfterApply makes the argument the URL.
func (c *scaleCmd) AfterApply() error {
	c.URL = cmp.Or(c.Server, c.URL)
	return nil
}

// Help adds to kong's text what an option cannot say.
func (scaleCmd) Help() string {
	return `Waits until they have started or stopped, without losing an image. The next 'up' begins with its --replicas again.
With 'up --autoscale', the autoscaler sets the number.

  resnet18cloud scale 3
  resnet18cloud scale 1 127.0.0.1:8081`
}

// scaleTimeout is how long replicas may take to start.
const scaleTimeout = time.Minute

// replicaCount is the answer of GET and PUT /replicas.
type replicaCount struct{ Wanted, Ready int }

// Run changes the number and waits until as many are ready.
func (c scaleCmd) Run(ctx context.Context, env *environment) error {
	if _, err := server("--url", c.URL, "http://127.0.0.1:8080"); err != nil {
		return err
	}
	if c.Replicas < 1 {
		return badUsage(fmt.Errorf("%d replicas: want at least 1", c.Replicas))
	}
	client, err := c.client(true)
	if err != nil {
		return err
	}
	client.Timeout = 10 * time.Second
	defer client.CloseIdleConnections()
	before, err := c.ask(ctx, client, http.MethodGet, "")
	if err != nil {
		return err
	}
	now, err := c.ask(ctx, client, http.MethodPut, fmt.Sprintf(`{"replicas":%d}`, c.Replicas))
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stderr, "from %d to %d replicas\n", before.Wanted, now.Wanted)
	for until := time.Now().Add(scaleTimeout); now.Ready != c.Replicas; {
		switch {
		case now.Wanted != c.Replicas:
			return fmt.Errorf("somebody else has set the number to %d", now.Wanted)
		case time.Now().After(until):
			return fmt.Errorf("%d of %d replicas are ready after %s (the output of 'up' says why)", now.Ready, now.Wanted, scaleTimeout)
		}
		if pause.For(ctx, 200*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
		if now, err = c.ask(ctx, client, http.MethodGet, ""); err != nil {
			return err
		}
	}
	are := "replicas are"
	if now.Ready == 1 {
		are = "replica is"
	}
	_, err = fmt.Fprintf(env.stdout, "%d %s ready\n", now.Ready, are)
	return err
}

// ask sends a request about the number of replicas.
func (c scaleCmd) ask(ctx context.Context, client *http.Client, method, body string) (n replicaCount, err error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.URL, "/")+"/replicas", strings.NewReader(body))
	if err != nil {
		return n, err
	}
	if err := c.authorize(request.Header); err != nil {
		return n, err
	}
	response, err := client.Do(request)
	if err != nil {
		return n, fmt.Errorf("no dispatcher answers at %s: %w (start one with 'resnet18cloud up', or give its URL)", c.URL, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return n, answerError(c.URL, "admin", "has no /replicas: is it the address of a dispatcher of this version or, with --admin-addr, that address?", response)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err == nil {
		err = json.Unmarshal(text, &n)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("%s is not a dispatcher of this version", c.URL), err)
	}
	return n, err
}
