//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// setting reads a number from the environment: CHAOS_REQUESTS and CHAOS_SEED repeat a run.
func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

const (
	replicas  = 3
	workers   = 24
	perSecond = 100 // images offered; so that the torment has time: 10,000 take 100 s
)

// system is the whole of what runs.
type system struct {
	nats        *process // nil when each dispatcher has its own
	dispatchers []*process
	replicas    []*process
	proxies     []*proxy
	urls        []string // of the dispatchers
}

// startSystem starts two dispatchers on a NATS server of their own process, or one with its own inside. More options may
// be given to dispatchers.
func startSystem(t *testing.T, seed uint64, outside bool, more ...string) *system {
	root := testutil.Root(t)
	binary := build(t, root, "./cmd/resnet18cloud")
	s := &system{}
	dispatchers, storage := 1, []string{"--data-dir", t.TempDir()}
	if outside {
		dispatchers, storage = 2, []string{"--nats", s.startNATS(t, root)}
	}

	var endpoints []string
	for i := range replicas {
		addr := freeAddr(t)
		s.replicas = append(s.replicas, newProcess(t, fmt.Sprint("replica", i), func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), replicaAddr+"="+addr)
			return cmd
		}))
		p := newProxy(t, addr, seed+uint64(i))
		s.proxies = append(s.proxies, p)
		endpoints = append(endpoints, p.url())
	}
	for i := range dispatchers {
		addr := freeAddr(t)
		s.urls = append(s.urls, "http://"+addr)
		s.dispatchers = append(s.dispatchers, newProcess(t, fmt.Sprint("dispatcher", i), func() *exec.Cmd {
			return exec.Command(binary, append([]string{"dispatcher", "--addr", addr,
				"--endpoints", strings.Join(endpoints, ","), "--redeliver-after", "3s", "--attempt-timeout", "3s",
				"--attempts", "20", "--drain-timeout", "5s"}, slices.Concat(storage, more)...)...)
		}))
	}
	s.waitReady(t)
	return s
}

// startNATS starts a NATS server as its operators would, and returns its URL.
func (s *system) startNATS(t *testing.T, root string) string {
	program := build(t, root, "github.com/nats-io/nats-server/v2")
	addr := freeAddr(t)
	config := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: %q\nmax_payload: 11534336\njetstream { store_dir: %q }\n", addr, t.TempDir())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.nats = newProcess(t, "nats", func() *exec.Cmd { return exec.Command(program, "-c", config) })
	waitTCP(t, addr)
	return "nats://" + addr
}

func (s *system) waitReady(t *testing.T) {
	t.Helper()
	for _, u := range s.urls {
		waitHTTP(t, u+"/health/ready")
	}
}

func waitTCP(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-deadline:
			t.Fatalf("nobody listens on %s", addr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// torment disturbs the system until ctx ends, and leaves it whole. What it does follows from the seed.
func (s *system) torment(ctx context.Context, t *testing.T, rng *rand.Rand) {
	faults := map[string]int{}
	defer func() { t.Logf("faults: %v", faults) }()
	restart := func(p *process, sig syscall.Signal) {
		p.down(sig)
		pause(ctx, time.Duration(100+rng.IntN(900))*time.Millisecond)
		if err := p.up(); err != nil {
			t.Error(err)
		}
	}
	for {
		pause(ctx, time.Duration(200+rng.IntN(1300))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		sig := syscall.SIGKILL
		if rng.IntN(2) == 0 {
			sig = syscall.SIGTERM
		}
		replica, dispatcher := s.replicas[rng.IntN(replicas)], s.dispatchers[rng.IntN(len(s.dispatchers))]
		proxy := s.proxies[rng.IntN(replicas)]
		switch n := rng.IntN(10); {
		case n < 3:
			faults["replica restarted"]++
			restart(replica, sig)
		case n < 5:
			faults["dispatcher restarted"]++
			restart(dispatcher, sig)
		case n < 6 && s.nats != nil:
			faults["NATS killed"]++
			restart(s.nats, syscall.SIGKILL)
		case n < 7:
			faults["replica hung"]++
			replica.signal(syscall.SIGSTOP)
			pause(ctx, 2*time.Second)
			replica.signal(syscall.SIGCONT)
		case n < 8:
			faults["dispatcher hung"]++
			dispatcher.signal(syscall.SIGSTOP)
			pause(ctx, 4*time.Second) // longer than --redeliver-after: others do its work meanwhile
			dispatcher.signal(syscall.SIGCONT)
		case n < 9:
			faults["connections cut"]++
			proxy.cut.Store(100)
			pause(ctx, time.Second)
			proxy.cut.Store(0)
		default:
			faults["connections slowed"]++
			proxy.slow.Store(200)
			pause(ctx, time.Second)
			proxy.slow.Store(0)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// request is one image that was accepted.
type request struct {
	id      string
	content []byte
	seen    string // completed_at when it was first seen ended
}

// ended is what we read of GET /result.
type ended struct {
	Status      string `json:"status"`
	Error       string `json:"error"`
	CompletedAt string `json:"completed_at"`
	Result      struct {
		Predictions []string `json:"predictions"`
	} `json:"result"`
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: workers}}

// submit offers an image until it is accepted. A refusal, or no answer, is followed by another try under
// the same key, perhaps at another dispatcher, as a careful client does.
func (s *system) submit(ctx context.Context, content []byte, key string, rng *rand.Rand) (string, error) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.urls[rng.IntN(len(s.urls))]+"/predict_async", bytes.NewReader(content))
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "image/jpeg")
		req.Header.Set("Idempotency-Key", key)
		resp, err := client.Do(req)
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		var body struct {
			RequestID string `json:"request_id"`
		}
		err = json.NewDecoder(resp.Body).Decode(&body)
		discard(resp)
		switch {
		case err == nil && (resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusOK):
			return body.RequestID, nil
		case resp.StatusCode == http.StatusServiceUnavailable:
			if resp.Header.Get("Retry-After") == "" {
				return "", fmt.Errorf("503 without Retry-After")
			}
			pause(ctx, 200*time.Millisecond)
		case err == nil:
			return "", fmt.Errorf("POST /predict_async answered %d", resp.StatusCode)
		}
	}
	return "", ctx.Err()
}

// result asks any dispatcher.
func (s *system) result(ctx context.Context, id, wait string, rng *rand.Rand) (ended, int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.urls[rng.IntN(len(s.urls))]+"/result/"+id+"?wait="+wait, nil)
	if err != nil {
		return ended{}, 0
	}
	resp, err := client.Do(req)
	if err != nil {
		return ended{}, 0
	}
	defer discard(resp)
	var e ended
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
		return ended{}, 0
	}
	return e, resp.StatusCode
}

func isFinal(status string) bool {
	return status == "completed" || status == "failed" || status == "cancelled"
}

// TestNothingIsLost sends requests through a tormented system. Every accepted one must end, with the label
// that its bytes demand or a reason, once.
func TestNothingIsLost(t *testing.T) {
	t.Run("NATS outside", func(t *testing.T) { nothingIsLost(t, true, (*system).torment) })
	t.Run("NATS inside", func(t *testing.T) { nothingIsLost(t, false, (*system).torment) })
}

// TestRollingRestart does what an update does, under load, again and again: one after the other, each replica and each
// dispatcher is told to stop, finishes, and is started anew. Here nothing may even fail.
func TestRollingRestart(t *testing.T) {
	for name, outside := range map[string]bool{"NATS outside": true, "NATS inside": false} {
		t.Run(name, func(t *testing.T) {
			outcomes := nothingIsLost(t, outside, (*system).roll)
			delete(outcomes, "completed ")
			if len(outcomes) > 0 {
				t.Errorf("ended otherwise than completed: %v", outcomes)
			}
		})
	}
}

// roll restarts every replica and every dispatcher in turn until ctx ends. The next one goes when the last one serves.
func (s *system) roll(ctx context.Context, t *testing.T, _ *rand.Rand) {
	restarted := 0
	defer func() { t.Logf("%d restarts", restarted) }()
	for {
		for i, p := range slices.Concat(s.replicas, s.dispatchers) {
			if ctx.Err() != nil {
				return
			}
			if !p.stop() {
				t.Errorf("%s did not end by itself", p.name)
			}
			if err := p.up(); err != nil {
				t.Error(err)
				return
			}
			restarted++
			url := ""
			if i < len(s.replicas) {
				url = s.proxies[i].url()
			} else {
				url = s.urls[i-len(s.replicas)]
			}
			if err := awaitHTTP(url + "/health/ready"); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// nothingIsLost sends requests while disturb does what it likes, and judges what became of them. It returns how many
// ended how.
func nothingIsLost(t *testing.T, outside bool, disturb func(*system, context.Context, *testing.T, *rand.Rand)) map[string]int {
	n, seed := setting(t, "CHAOS_REQUESTS", 1000), uint64(setting(t, "CHAOS_SEED", 1))
	t.Logf("CHAOS_REQUESTS=%d CHAOS_SEED=%d", n, seed)
	s := startSystem(t, seed, outside)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()

	tormenting, calm := context.WithCancel(ctx)
	var torment sync.WaitGroup
	torment.Go(func() { disturb(s, tormenting, t, rand.New(rand.NewPCG(seed, 0))) })

	requests := make([]request, n)
	var next atomic.Int64
	var sending sync.WaitGroup
	pace := time.NewTicker(time.Second / perSecond)
	defer pace.Stop()
	for w := range workers {
		sending.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w+1)))
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				<-pace.C
				// One image in ten is one that was sent before.
				content := fmt.Appendf(make([]byte, 0, 40<<10), "image %d of seed %d ", i-i%10*(rng.IntN(10)/9), seed)
				content = content[:40<<10]
				id, err := s.submit(ctx, content, fmt.Sprintf("chaos-%d-%d", seed, i), rng)
				if err != nil {
					t.Errorf("request %d: %v", i, err)
					continue
				}
				requests[i] = request{id: id, content: content}
				if e, _ := s.result(ctx, id, "1s", rng); isFinal(e.Status) {
					requests[i].seen = e.CompletedAt
				}
			}
		})
	}
	start := time.Now()
	sending.Wait()
	calm()
	torment.Wait()
	t.Logf("%d requests accepted in %s", n, time.Since(start).Round(time.Millisecond))
	s.waitReady(t)
	return s.judge(ctx, t, requests, rand.New(rand.NewPCG(seed, 1<<32)))
}

// judge waits for every request's end and looks at it.
func (s *system) judge(ctx context.Context, t *testing.T, requests []request, rng *rand.Rand) map[string]int {
	outcomes := map[string]int{}
	lost, wrong, twice := 0, 0, 0
	for i, r := range requests {
		if r.id == "" {
			continue // reported above
		}
		limit, stop := context.WithTimeout(ctx, time.Minute)
		var e ended
		status := 0
		for !isFinal(e.Status) && limit.Err() == nil {
			e, status = s.result(limit, r.id, "5s", rng)
		}
		stop()
		outcomes[e.Status+" "+e.Error]++
		switch {
		case !isFinal(e.Status):
			lost++
			t.Errorf("request %d (%s) has no end: %d %q", i, r.id, status, e.Status)
		case e.Status == "completed" && e.Result.Predictions[0] != label(r.content):
			wrong++
			t.Errorf("request %d: label %s, want %s", i, e.Result.Predictions[0], label(r.content))
		case e.Status == "failed" && e.Error == "":
			t.Errorf("request %d failed without a reason", i)
		case r.seen != "" && r.seen != e.CompletedAt:
			twice++
			t.Errorf("request %d ended at %s and again at %s", i, r.seen, e.CompletedAt)
		}
	}
	t.Logf("outcomes: %v; lost %d, wrong %d, ended twice %d", outcomes, lost, wrong, twice)
	if completed := outcomes["completed "]; completed < len(requests)*99/100 {
		t.Errorf("%d of %d completed, want 99 %%: failing with a reason is for requests, not for replicas", completed, len(requests))
	}
	return outcomes
}
