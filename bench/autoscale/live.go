package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/autoscaler"
	"github.com/resnet18cloud/resnet18cloud/autoscale/local"
	"github.com/resnet18cloud/resnet18cloud/autoscale/sim"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/procs"
)

// outcome is what a live run came to, the warm-up left out.
type outcome struct {
	Offered        int           `json:"offered"`
	Late           int           `json:"late"`
	Refused        int           `json:"refused"`
	Failed         int           `json:"failed"`
	ReplicaSeconds float64       `json:"replica_seconds"`
	Ready          []int         `json:"ready"` // replicas that served, by second
	Starts         []sim.Start   `json:"starts"`
	Service        time.Duration `json:"service"` // mean, as the dispatcher counted it
}

func (o outcome) violations() float64 {
	return float64(o.Late+o.Refused+o.Failed) / max(1, float64(o.Offered))
}

// system is what runs: a dispatcher, replicas, an autoscaler.
type system struct {
	dispatcher *dispatch.Dispatcher
	replicas   *local.Replicas
	scaling    *autoscaler.Autoscaler
	client     *http.Client
	picture    []byte
}

// live runs the load once under the policy.
func (o options) live(ctx context.Context, policy autoscale.Policy, log *slog.Logger) (out outcome, err error) {
	dir, err := os.MkdirTemp("", "autoscale-live")
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(dir)
	s, err := o.build(dir, policy, log)
	if err != nil {
		return out, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() error { defer stop(); return s.dispatcher.Run(ctx) })
	g.Go(func() error { defer stop(); return s.replicas.Run(ctx) })
	if err = s.awaitReplicas(ctx, o.start()); err == nil {
		g.Go(func() error { defer stop(); return s.scaling.Run(ctx) })
		out, err = o.drive(ctx, s)
	}
	stop()
	return out, errors.Join(err, g.Wait())
}

func (o options) build(dir string, policy autoscale.Policy, log *slog.Logger) (*system, error) {
	s := &system{picture: drawing(), client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.dispatcher, err = dispatch.New(dispatch.Config{Addr: "127.0.0.1:0", QueueCapacity: o.Queue, CacheSize: -1,
		NATS: natsconn.Config{DataDir: dir}, DrainTimeout: 5 * time.Second, Log: log})
	if err != nil {
		return nil, err
	}
	if err := s.dispatcher.Listen(); err != nil {
		return nil, err
	}
	s.replicas, err = local.New(local.Config{
		Count: o.start(), Max: o.Limits.Max, Log: log,
		Command: func(name, addr string) procs.Process {
			return procs.Process{Name: name, Path: program, Args: []string{"-service", o.Service.String(), "-every", strconv.Itoa(o.Every), "-model", o.model},
				Env: append(os.Environ(), asReplica+"="+addr, "GOMAXPROCS=1"), Log: log}
		},
		Announce: func(urls []string) {
			if err := s.dispatcher.SetEndpoints(urls); err != nil {
				log.Error("replicas are not used", "error", err)
			}
		},
		InFlight: func() map[string]int {
			images := make(map[string]int)
			for _, e := range s.dispatcher.Endpoints() {
				images[e.URL] = e.InFlight
			}
			return images
		},
	})
	if err != nil {
		return nil, err
	}
	s.scaling, err = autoscaler.New(autoscaler.Config{Dispatchers: []string{s.dispatcher.URL()}, Scaler: s.replicas,
		NewPolicy: func() autoscale.Policy { return policy }, Addr: "-", Log: log})
	return s, err
}

// awaitReplicas waits until n are healthy in the dispatcher's eyes.
func (s *system) awaitReplicas(ctx context.Context, n int) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		healthy := 0
		for _, e := range s.dispatcher.Endpoints() {
			if e.Healthy {
				healthy++
			}
		}
		if healthy >= n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drive sends the load when it is due, whatever becomes of it, and watches.
func (o options) drive(ctx context.Context, s *system) (outcome, error) {
	defer s.client.CloseIdleConnections()
	var out outcome
	var mu sync.Mutex // guards out while images are under way
	began := time.Now()
	var under, watch sync.WaitGroup
	watching, done := context.WithCancel(ctx)
	seen := map[string]*life{}
	watch.Go(func() { o.watch(watching, s, began, &out, seen) })
	n := 0
	load := sim.WithWarmup(o.load, o.Warmup)
	for at := range load.Arrivals(o.Seed) {
		select {
		case <-time.After(time.Until(began.Add(at))):
		case <-ctx.Done():
			done()
			watch.Wait()
			under.Wait()
			return out, ctx.Err()
		}
		n++
		under.Go(func() {
			status, err := s.send(ctx, n)
			took := time.Since(began.Add(at))
			if at < o.Warmup {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out.Offered++
			switch {
			case err == nil && status == http.StatusOK && took > o.SLO:
				out.Late++
			case err == nil && status == http.StatusOK:
			case err == nil && status == http.StatusServiceUnavailable:
				out.Refused++
			default:
				out.Failed++
			}
		})
	}
	<-time.After(time.Until(began.Add(load.Duration())))
	done()
	watch.Wait()
	under.Wait()
	out.Starts = starts(seen)
	var err error
	out.Service, err = s.meanService(ctx)
	return out, err
}

// life is a replica's from being asked for to serving or, if it never did, to its end.
type life struct {
	created, until time.Time
	served         bool
}

// starts are how long those took that served, and with how many others.
func starts(seen map[string]*life) []sim.Start {
	const tick = 100 * time.Millisecond // of those asked for at once, one is made after the other
	var all []sim.Start
	for _, one := range seen {
		if !one.served {
			continue
		}
		s := sim.Start{Took: one.until.Sub(one.created)}
		for _, other := range seen {
			if other.created.Before(one.created.Add(tick)) && other.until.After(one.created) {
				s.Together++
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b sim.Start) int {
		return cmp.Or(cmp.Compare(a.Together, b.Together), cmp.Compare(a.Took, b.Took))
	})
	return all
}

// watch counts replicas ten times a second, and how long each took to start.
func (o options) watch(ctx context.Context, s *system, began time.Time, out *outcome, seen map[string]*life) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := began.Add(o.Warmup)
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		scale, err := s.replicas.Scale(ctx)
		if err != nil {
			continue
		}
		ready := 0
		for _, r := range scale.Replicas {
			if r.Ready {
				ready++
			}
			if one := seen[r.Name]; r.Created.After(began) && (one == nil || !one.served) {
				seen[r.Name] = &life{created: r.Created, until: cmp.Or(r.ReadyAt, now), served: !r.ReadyAt.IsZero()}
			}
		}
		if now.Before(last) {
			continue
		}
		out.ReplicaSeconds += float64(len(scale.Replicas)) * now.Sub(last).Seconds()
		last = now
		if n%10 == 0 {
			out.Ready = append(out.Ready, ready)
		}
		n++
	}
}

// send asks for the labels of an image that nobody has sent before.
func (s *system) send(ctx context.Context, n int) (int, error) {
	comment := fmt.Sprintf("image %12d", n)
	// The drawing with a comment (COM, ITU-T T.81 B.2.4.5) behind its start marker.
	body := append([]byte{}, s.picture[:2]...)
	body = append(body, 0xff, 0xfe, 0, byte(2+len(comment)))
	body = append(append(body, comment...), s.picture[2:]...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.dispatcher.URL()+"/predict", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "image/jpeg")
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func (s *system) meanService(ctx context.Context) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.dispatcher.URL()+"/status", nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var status struct {
		Scaling struct {
			Completed      float64 `json:"completed"`
			ServiceSeconds float64 `json:"service_seconds"`
		} `json:"scaling"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		return 0, err
	}
	if status.Scaling.Completed == 0 {
		return 0, errors.New("no image was answered")
	}
	return time.Duration(status.Scaling.ServiceSeconds / status.Scaling.Completed * float64(time.Second)), nil
}

// drawing is a picture like any other.
func drawing() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for y := range 240 {
		for x := range 320 {
			img.Set(x, y, color.RGBA{uint8(x * y), uint8(x + y), uint8(x ^ y), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}
