//go:build hold

package hold

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/replica"
	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// binary is the program under test: HOLD_BINARY, or built from this tree.
var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if binary = os.Getenv("HOLD_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "resnet18-hold")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "resnet18cloud")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/resnet18cloud")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
		return 1
	}
	return m.Run()
}

// process is a running command of the binary.
type process struct {
	addr string
	cmd  *exec.Cmd
}

// start runs the command on a free port until the end of the test, with at most the given number of file descriptors
// (0 means no limit), and waits until path returns 200.
func start(t *testing.T, descriptors int, path string, args ...string) *process {
	t.Helper()
	p := &process{addr: harness.FreeAddr(t)}
	args = append(args, "--addr", p.addr)
	p.cmd = exec.Command(binary, args...)
	if descriptors > 0 {
		p.cmd = exec.Command("sh", append([]string{"-c", `ulimit -n "$0"; exec "$@"`, strconv.Itoa(descriptors), binary}, args...)...)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), args[0]+".log"))
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has exited, which Wait reports
		late := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
		defer late.Stop()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%s: %v", args[0], err)
		}
		_ = log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s:\n%s", args[0], text[max(0, len(text)-2000):])
		}
	})
	for deadline := time.Now().Add(time.Minute); ; {
		if response, err := http.Get("http://" + p.addr + path); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return p
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer %s", args[0], path)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// peakMiB returns the peak memory of the process since its start, or since the last call, on Linux; elsewhere 0.
func (p *process) peakMiB() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		if kib, found := strings.CutPrefix(line, "VmHWM:"); found {
			n, _ := strconv.Atoi(strings.Fields(kib)[0])
			_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
			return n >> 10
		}
	}
	return 0
}

// startDispatcher runs a dispatcher with two replicas in this process.
func startDispatcher(t *testing.T, descriptors int) *process {
	t.Helper()
	return start(t, descriptors, "/health/ready", "dispatcher", "--data-dir", t.TempDir(), "--attempt-timeout", "1h",
		"--endpoints", startClassifier(t)+","+startClassifier(t))
}

// startClassifier serves steady over HTTP in this process.
func startClassifier(t *testing.T) (url string) {
	t.Helper()
	s, err := replica.New(replica.Config{Addr: "127.0.0.1:0", Concurrency: 8,
		Model: func() replica.Model { return replica.Model{Weights: "hold", Precision: "fp32"} }}, steady{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("replica: %v", err)
		}
	})
	<-s.Ready()
	return s.URL()
}

// stuck is the name of an image that is never classified.
const stuck = "stuck"

// steady takes 20 ms per image.
type steady struct{}

func (steady) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	done := time.After(20 * time.Millisecond)
	if image.Name == stuck {
		done = nil
	}
	select {
	case <-done:
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	return resnet18cloud.Result{Filename: image.Name, Predictions: []string{"a", "b", "c", "d", "e"}, Model: "hold", Precision: "fp32"}, nil
}

// picture is a JPEG of about 100 KB; data after its end is ignored, and makes each upload unique.
var picture = func() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 500, 375))
	noise := uint32(1)
	for y := range 375 {
		for x := range 500 {
			noise = noise*1664525 + 1013904223
			img.SetRGBA(x, y, color.RGBA{uint8(x/2) ^ uint8(noise>>26), uint8(y/2) ^ uint8(noise>>25), uint8(noise >> 24), 255})
		}
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, nil) // a bytes.Buffer never fails
	return b.Bytes()
}()
