//go:build chaos

package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// replicaAddr has the test's binary be a replica on that address.
const replicaAddr = "CHAOS_REPLICA_ADDR"

func TestMain(m *testing.M) {
	if addr := os.Getenv(replicaAddr); addr != "" {
		if err := serveReplica(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveReplica(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := replica.New(replica.Config{Addr: addr, Concurrency: 8,
		Model: func() replica.Model { return replica.Model{Weights: "chaos", Precision: "fp32"} }}, labeller{})
	if err != nil {
		return err
	}
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Run(ctx)
}

// labeller takes 20 ms for an image and names it by its bytes.
type labeller struct{}

func (labeller) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	l := label(image.Bytes)
	return resnet18cloud.Result{Filename: image.Name, InferenceTime: 0.02, Predictions: []string{l, l, l, l, l}, Model: "chaos", Precision: "fp32"}, nil
}

func label(image []byte) string {
	sum := sha256.Sum256(image)
	return fmt.Sprintf("label-%08x", binary.BigEndian.Uint32(sum[:]))
}

// process is a program that can be killed and started again on the same address.
type process struct {
	name  string
	start func() *exec.Cmd
	log   *os.File

	mu  sync.Mutex
	cmd *exec.Cmd // guarded by mu
}

func newProcess(t *testing.T, name string, start func() *exec.Cmd) *process {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, start: start, log: log}
	if err := p.up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.down(syscall.SIGKILL)
		if t.Failed() {
			tail, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", name, tail[max(0, len(tail)-4000):])
		}
		_ = log.Close()
	})
	return p
}

func (p *process) up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = p.start()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	return nil
}

// down sends the signal and waits for the end.
func (p *process) down(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s) // an error says that it has ended already
	_ = p.cmd.Wait()            // killed is no success; that is the point
}

// stop asks the process to end and waits until it has, or reports false and kills it when that takes longer than any
// drain. Its exit status counts too.
func (p *process) stop() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended already, which Wait tells
	late := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	return p.cmd.Wait() == nil
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s)
}

// freeAddr is an address nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// waitHTTP waits until the URL answers 200.
func waitHTTP(t *testing.T, url string) {
	t.Helper()
	if err := awaitHTTP(url); err != nil {
		t.Fatal(err)
	}
}

// awaitHTTP is waitHTTP for goroutines, which cannot end a test.
func awaitHTTP(url string) error {
	deadline := time.After(60 * time.Second)
	for {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-deadline:
			return fmt.Errorf("%s does not answer 200", url)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// proxy stands between dispatchers and a replica, and cuts or slows connections while it is told to.
type proxy struct {
	listener net.Listener
	target   string
	cut      atomic.Int32 // of a thousand pieces, how many end their connection
	slow     atomic.Int32 // milliseconds per piece
	done     sync.WaitGroup
}

func newProxy(t *testing.T, target string, seed uint64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target}
	p.done.Go(func() {
		for n := uint64(0); ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.done.Go(func() { p.serve(conn, rand.New(rand.NewPCG(seed, n))) })
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return p
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

func (p *proxy) serve(client net.Conn, rng *rand.Rand) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	back := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
	p.done.Go(func() { p.copy(client, server, back) })
	p.copy(server, client, rng)
}

// copy moves pieces until one side ends, and then ends both.
func (p *proxy) copy(to, from net.Conn, rng *rand.Rand) {
	defer to.Close()
	defer from.Close()
	piece := make([]byte, 16<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			time.Sleep(time.Duration(p.slow.Load()) * time.Millisecond) // the fault itself
			if rng.Int32N(1000) < p.cut.Load() {
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// build makes a program of the module, or of a module it uses.
func build(t *testing.T, root, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, pkg)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, text)
	}
	return out
}

func discard(resp *http.Response) {
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}
