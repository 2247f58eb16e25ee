//go:build unix

package forward_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// The test binary acts as the replicas that tests stop and kill: TEST_REPLICA names the role.
func TestMain(m *testing.M) {
	if role := os.Getenv("TEST_REPLICA"); role != "" {
		fmt.Fprintln(os.Stderr, serveReplica(role))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// serveReplica prints its URL and serves until standard input ends. The role "hold" keeps images forever; the others
// stop or kill themselves if the image says so, and classify all other images.
func serveReplica(role string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"concurrency":2,"queue":2}`)
	})
	mux.HandleFunc("POST /predict", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case role == "hold":
			<-r.Context().Done()
		case string(body) == "stop":
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			<-r.Context().Done() // the signal may take a moment
		case string(body) == "die":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		ours(w, r)
	})
	fmt.Println("http://" + l.Addr().String())
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(l, mux)
}

// process is a replica in its own process.
type process struct {
	url string
	cmd *exec.Cmd
}

func startReplica(t *testing.T, role string) process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_REPLICA="+role)
	cmd.Stderr = os.Stderr
	// In its own process group it gets SIGHUP if the test ends without stopping it, even if it is suspended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have exited
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("replica's URL: %v", err)
	}
	return process{strings.TrimSpace(line), cmd}
}

func (p process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// patience is the time limit for steps that take 3 s on an idle machine. It is shorter than the attempt timeout.
const patience = 15 * time.Second

// waitInFlight waits until the endpoint has the given number of images.
func waitInFlight(t *testing.T, p *forward.Pool, url string, want int) {
	t.Helper()
	waitFor(t, p, "images in flight", func() bool {
		return slices.ContainsFunc(p.Endpoints(), func(e forward.Endpoint) bool { return e.URL == url && e.InFlight == want })
	})
}

// TestHungReplica checks that the images of a replica that stops responding go to another one within about three
// seconds, and that the replica is used again after it resumes.
func TestHungReplica(t *testing.T) {
	t.Parallel()
	hung, good := startReplica(t, "hold"), startReplica(t, "good")
	outcomes := make(chan string, 100)
	var log testutil.Log
	p := start(t, forward.Config{Endpoints: []string{hung.url}, Attempted: func(o string) { outcomes <- o },
		Log: slog.New(slog.NewTextHandler(&log, nil))}, 1)
	var answers []<-chan answer
	for range 4 {
		answers = append(answers, send(t, p, image))
	}
	waitInFlight(t, p, hung.url, 4)
	if err := p.SetEndpoints([]string{hung.url, good.url}); err != nil {
		t.Fatal(err)
	}
	waitHealthy(t, p, 2)
	hung.signal(t, syscall.SIGSTOP)
	stopped := time.Now()
	for _, c := range answers {
		select {
		case a := <-c:
			if a.err != nil || a.result.Replica != good.url {
				t.Errorf("Classify = %+v, %v, want the good replica's answer", a.result, a.err)
			}
		case <-time.After(patience):
			t.Fatalf("no answer %s after the replica was stopped: %+v", time.Since(stopped), p.Endpoints())
		}
	}
	t.Logf("answered by another replica %s after the first was stopped", time.Since(stopped))
	count := map[string]int{}
	for range 8 {
		count[<-outcomes]++
	}
	if count["internal"] != 4 || count["completed"] != 4 {
		t.Errorf("outcomes %v, want 4 attempts that count and 4 that completed", count)
	}
	if text := log.String(); strings.Count(text, "endpoint unhealthy") != 1 || !strings.Contains(text, "cancelled=4") {
		t.Errorf("log does not tell once of 4 cancelled images:\n%s", text)
	}
	for _, e := range p.Endpoints() {
		if e.URL == hung.url && (e.Healthy || e.InFlight != 0 || !strings.Contains(e.Problem, "no response to a probe within 1s")) {
			t.Errorf("endpoint %+v, want it unhealthy for want of an answer", e)
		}
	}
	hung.signal(t, syscall.SIGCONT)
	waitHealthy(t, p, 2)
}

// TestImageThatHangsReplicas checks that such an image is not retried forever: each attempt counts.
func TestImageThatHangsReplicas(t *testing.T) {
	t.Parallel()
	a, b := startReplica(t, "good"), startReplica(t, "good")
	p := start(t, forward.Config{Endpoints: []string{a.url, b.url}}, 2)
	select {
	case got := <-send(t, p, resnet18cloud.Image{Name: "poison.jpg", Bytes: []byte("stop")}):
		e := resnet18cloud.AsError(got.err)
		if e == nil || e.Code != resnet18cloud.CodeInternal || !strings.Contains(e.Message, "stopped responding") {
			t.Fatalf("Classify: %v, want internal", got.err)
		}
		if !strings.Contains(e.Error(), "hangs: no response to a probe within 1s") {
			t.Errorf("%v does not say why the attempt was cancelled", e)
		}
	case <-time.After(2 * patience):
		t.Fatalf("no end of the image: %+v", p.Endpoints())
	}
	for _, r := range []process{a, b} {
		if _, err := p.Classify(t.Context(), image); resnet18cloud.AsError(err).Code != resnet18cloud.CodeUnavailable {
			t.Errorf("Classify while both hang: %v, want unavailable", err)
		}
		r.signal(t, syscall.SIGCONT)
		waitHealthy(t, p, 1)
		r.signal(t, syscall.SIGKILL)
		waitHealthy(t, p, 0)
	}
}

// TestImageThatKillsReplicas checks the same for an image that kills replicas. The HTTP transport retries a request
// whose connection broke before a response; if the retry finds no server, the first attempt may still have delivered
// the image.
func TestImageThatKillsReplicas(t *testing.T) {
	t.Parallel()
	replica := startReplica(t, "good")
	p := start(t, forward.Config{Endpoints: []string{replica.url}}, 1)
	if _, err := p.Classify(t.Context(), image); err != nil { // leaves an idle connection
		t.Fatal(err)
	}
	_, err := p.Classify(t.Context(), resnet18cloud.Image{Name: "poison.jpg", Bytes: []byte("die")})
	if e := resnet18cloud.AsError(err); e == nil || e.Code != resnet18cloud.CodeInternal {
		t.Errorf("Classify: %v, want internal", err)
	}
}

// TestRemovedEndpointHangs checks that the images of a removed endpoint that hangs go elsewhere.
func TestRemovedEndpointHangs(t *testing.T) {
	t.Parallel()
	hung, good := startReplica(t, "hold"), startReplica(t, "good")
	p := start(t, forward.Config{Endpoints: []string{hung.url}}, 1)
	answered := send(t, p, image)
	waitInFlight(t, p, hung.url, 1)
	if err := p.SetEndpoints([]string{good.url}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, p, "the new endpoint", func() bool {
		es := p.Endpoints()
		return len(es) == 1 && es[0].URL == good.url && es[0].Healthy
	})
	hung.signal(t, syscall.SIGSTOP)
	select {
	case a := <-answered:
		if a.err != nil || a.result.Replica != good.url {
			t.Errorf("Classify = %+v, %v, want the good replica's answer", a.result, a.err)
		}
	case <-time.After(patience):
		t.Fatal("the image still waits for a replica that was removed and hangs")
	}
}

// TestRunEndsWithHungReplicas checks that a pool stops immediately although a probe waits for a response.
func TestRunEndsWithHungReplicas(t *testing.T) {
	t.Parallel()
	hung := startReplica(t, "good")
	hung.signal(t, syscall.SIGSTOP)
	p, err := forward.New(forward.Config{Endpoints: []string{hung.url}, ProbeTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	waitFor(t, p, "the endpoint", func() bool { return len(p.Endpoints()) == 1 })
	cancel()
	select {
	case err := <-ran:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Run waits for a replica that hangs")
	}
}
