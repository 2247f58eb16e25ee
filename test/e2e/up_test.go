//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// submitMany queues n different images and returns their request IDs.
func (s *system) submitMany(n int) []string {
	s.t.Helper()
	ids := make([]string, n)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		g.Go(func() (err error) {
			ids[i], err = s.submit(fmt.Sprintf("%d.jpg", i), picture(i))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		s.t.Fatal(err)
	}
	return ids
}

// allComplete waits for the end of each request and checks that it is completed.
func (s *system) allComplete(ids []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	for i, id := range ids {
		status, body, err := s.result(ctx, id)
		if err != nil || status != "completed" {
			s.t.Errorf("request %d: %s, %v: %v", i, status, err, body)
		}
	}
}

// TestReplicaKilled kills the replicas one after the other while images wait, and checks that all complete.
func TestReplicaKilled(t *testing.T) {
	t.Parallel()
	s := up(t, t.TempDir(), "--replicas", "2")
	ids := s.submitMany(120)
	pids := s.replicaPIDs()
	if len(pids) != 2 {
		t.Fatalf("replica processes %v, want two", pids)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	s.allComplete(ids)
	if again := s.replicaPIDs(); len(again) != 4 {
		t.Errorf("replica processes %v, want two more than %v", again, pids)
	}
	if _, status := s.get("/status"); status["failed_requests"] != 0.0 || status["successful_requests"] != 120.0 {
		t.Errorf("%v failed and %v successful requests, want 0 and 120", status["failed_requests"], status["successful_requests"])
	}
}

// TestCtrlC interrupts up while images wait: it exits in time, stops its replicas, and after a restart every accepted
// request completes.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := up(t, folder)
	ids := s.submitMany(150)
	pids := s.replicaPIDs()
	took, err := s.stop()
	if err != nil {
		t.Errorf("up after Ctrl-C: %v", err)
	}
	// The limit is five seconds; one more is allowed for a busy machine.
	if took > 6*time.Second {
		t.Errorf("the end took %s", took)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("replica %d is still there: %v", pid, err)
		}
	}
	t.Logf("stopped within %s", took.Round(time.Millisecond))
	up(t, folder).allComplete(ids)
}

// TestKilledOutright kills up itself: its replicas die too, and nothing accepted is lost.
func TestKilledOutright(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := up(t, folder)
	ids := s.submitMany(60)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	up(t, folder).allComplete(ids)
}

// TestWithoutWeights checks that up reports everywhere that its results are meaningless, and that a replica on its
// own exits and says what to do.
func TestWithoutWeights(t *testing.T) {
	t.Parallel()
	s := up(t, t.TempDir(), noWeights)
	if log := s.stderr(); !strings.Contains(log, "NO WEIGHTS") || !strings.Contains(log, "resnet18cloud model pull") {
		t.Errorf("log does not warn:\n%s", log)
	}
	warns := func(what string, body map[string]any) {
		t.Helper()
		if w, _ := body["warning"].(string); !strings.Contains(w, "weights are random") {
			t.Errorf("%s: warning %q", what, w)
		}
	}
	_, status := s.get("/status")
	warns("GET /status", status)
	id, err := s.submit("a.jpg", picture(1))
	if err != nil {
		t.Fatal(err)
	}
	_, body, err := s.result(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	warns("GET /result", body)
	result, _ := body["result"].(map[string]any)
	warns("its result", result)
	// The first lines of the greeting showed that it serves; by now the last ones have arrived too.
	if !strings.Contains(s.stdout(), "NO WEIGHTS") {
		t.Errorf("what is printed does not warn:\n%s", s.stdout())
	}
	replicaURL, _ := body["replica_used"].(string)
	resp, err := http.Get(replicaURL + "/info")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	info, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(info, []byte(`"warning":`)) {
		t.Errorf("GET /info of the replica does not warn: %s %v", info, err)
	}

	replica := exec.CommandContext(t.Context(), binary, "replica", "--addr", "127.0.0.1:0")
	replica.Env = environ(t.TempDir())
	out, err := replica.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "resnet18cloud model pull") {
		t.Errorf("replica without weights: %v, %s", err, out)
	}
}

// TestMistakes checks that a command that cannot work exits with status 1, or 2 if its arguments are wrong, and one line with the reason.
func TestMistakes(t *testing.T) {
	t.Parallel()
	s := up(t, t.TempDir())
	address := strings.TrimPrefix(s.url, "http://")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"address in use":   {[]string{"up", "--addr", address}, "address already in use (use --addr to choose another"},
		"queue in use":     {[]string{"up", "--addr", "127.0.0.1:0", "--data-dir", filepath.Join(s.folder, "resnet18cloud", "queue")}, "another"},
		"no such weights":  {[]string{"up", "--addr", "127.0.0.1:0", "--model", "missing.pth"}, "no such file"},
		"broken weights":   {[]string{"up", "--addr", "127.0.0.1:0", "--replica-port", "0", "--model", "testdata/readme.sh"}, "readme.sh: not a weight file"},
		"no replicas":      {[]string{"up", "--addr", "127.0.0.1:0", "--replicas=-1"}, "want at least 1"},
		"unknown flag":     {[]string{"up", "--replica", "2"}, "did you mean"},
		"unknown command":  {[]string{"serve"}, "resnet18cloud --help"},
		"no such images":   {[]string{"up", "--addr", "127.0.0.1:0", "--images", "missing"}, "missing"},
		"replica, address": {[]string{"replica", "--random-weights", "--addr", address}, "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary, test.args...)
			cmd.Env = environ(t.TempDir())
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			last := lines[len(lines)-1]
			if !errors.As(err, &exit) || (exit.ExitCode() != 1 && exit.ExitCode() != 2) || !strings.HasPrefix(last, "resnet18cloud: error: ") ||
				!strings.Contains(last, test.want) {
				t.Errorf("%v: %v, want status 1 or 2 and a last line with %q\n%s", test.args, err, test.want, out)
			}
		})
	}
}

// TestDefaultSchedule replays the README's load, 56 seconds of up to 30 images per second, and checks that no request
// fails.
func TestDefaultSchedule(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	s := up(t, t.TempDir())
	load := exec.CommandContext(t.Context(), binary, "loadtest", "--url", s.url, "--images", filepath.Join(workspace(t), "images", "imagenet-sample-images"))
	load.Env = environ(t.TempDir())
	out, err := load.CombinedOutput()
	if err != nil {
		t.Errorf("loadtest: %v\n%s", err, tail(string(out), 3000))
	}
	for _, line := range []string{
		" - INFO - Starting load test - Images per second schedule: [4, 8, 11, 15, 19, 22, 26, 30, 30, ", " - INFO - Max workers: 50\n",
		" - INFO - Second 1: Sending 4 images\n", " - INFO - Second 56: Sending 5 images\n",
	} {
		if !strings.Contains(string(out), line) {
			t.Errorf("loadtest does not print %q:\n%s", line, out)
		}
	}
	_, status := s.get("/status")
	if failed, total := status["failed_requests"], status["total_requests"]; failed != 0.0 || total != 1000.0 {
		t.Errorf("%v of %v requests failed, want 0 of 1000", failed, total)
	}
}
