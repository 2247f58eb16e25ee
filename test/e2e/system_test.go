//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// binary is the program under test, built once; weights is a weight file for it, empty without reference data.
var binary, weights string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "resnet18-e2e")
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
	if models := filepath.Join(sharedFolder(), "models"); exists(models) {
		weights = filepath.Join(dir, "resnet18.safetensors")
		pull := exec.Command(binary, "model", "pull", "--mirror", models, "--out", weights)
		if out, err := pull.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", pull, err, out)
			return 1
		}
	}
	return m.Run()
}

// sharedFolder returns the folder of the reference data, if any; testutil.Shared needs a test to skip.
func sharedFolder() string {
	if dir := os.Getenv("RESNET18_SHARED"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", "shared")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// system is a running command, with its own cache folder and, by default, real weights.
type system struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string // the first address it printed
	folder string // its cache, with the queue
	ended  chan struct{}
	err    error // its exit error; valid once ended is closed

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu: standard error, as JSON lines
	out bytes.Buffer // guarded by mu: standard output
}

// environ returns the environment of our programs: the user's, without our own variables.
func environ(folder string, more ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "RESNET18_") && !strings.HasPrefix(e, "MODEL_MIRROR=") {
			env = append(env, e)
		}
	}
	return append(append(env, "XDG_CACHE_HOME="+folder), more...)
}

// up starts everything on free ports and waits until it prints its URL.
func up(t *testing.T, folder string, args ...string) *system {
	t.Helper()
	if weights != "" && !slices.Contains(args, noWeights) {
		args = append(args, "--model", weights)
	}
	args = slices.DeleteFunc(args, func(a string) bool { return a == noWeights })
	args = append([]string{"--log-format", "json", "up", "--addr", "127.0.0.1:0", "--replica-port", "0"}, args...)
	return start(t, folder, regexp.MustCompile(`is running at (http://\S+)`), args...)
}

// noWeights, as an argument, makes up run without weights even if there are some.
const noWeights = "no weights"

// start starts a command and waits for a line, on standard output or error, that has its URL.
func start(t *testing.T, folder string, address *regexp.Regexp, args ...string) *system {
	t.Helper()
	return startWith(t, folder, nil, address, args...)
}

// startWith is start with more variables in the environment.
func startWith(t *testing.T, folder string, env []string, address *regexp.Regexp, args ...string) *system {
	t.Helper()
	s := &system{t: t, folder: folder, ended: make(chan struct{})}
	s.cmd = exec.Command(binary, args...)
	s.cmd.Env = environ(folder, env...)
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	var readers sync.WaitGroup
	keep := func(r io.Reader, buf *bytes.Buffer) {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			s.mu.Lock()
			buf.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
			if m := address.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
	}
	readers.Go(func() { keep(stdout, &s.out) })
	readers.Go(func() { keep(stderr, &s.log) })
	go func() {
		readers.Wait()
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // fails only if it has exited
		<-s.ended
		if t.Failed() {
			t.Logf("%s\n%s%s", s.cmd, s.stdout(), tail(s.stderr(), 6000))
		}
	})
	select {
	case s.url = <-found:
	case <-s.ended:
		t.Fatalf("%s ended: %v\n%s", s.cmd, s.err, s.stderr())
	case <-time.After(time.Minute):
		t.Fatalf("%s does not serve after a minute\n%s", s.cmd, s.stderr())
	}
	return s
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

func (s *system) stderr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *system) stdout() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// stop sends SIGINT like Ctrl-C, and returns the time to exit and the error.
func (s *system) stop() (time.Duration, error) {
	s.t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	<-s.ended
	return time.Since(began), s.err
}

// replicaPIDs returns the processes that were started as replicas, in order, from the log.
func (s *system) replicaPIDs() []int {
	var pids []int
	for line := range strings.Lines(s.stderr()) {
		var entry struct {
			Msg string
			PID int
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "process started" {
			pids = append(pids, entry.PID)
		}
	}
	return pids
}

// get requests JSON.
func (s *system) get(path string) (status int, body map[string]any) {
	s.t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		s.t.Fatalf("GET %s = %d, not JSON: %v", path, resp.StatusCode, err)
	}
	return resp.StatusCode, body
}

// submit queues an image and returns the request ID.
func (s *system) submit(name string, data []byte) (string, error) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("image", name)
	if err == nil {
		_, err = part.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", err
	}
	resp, err := http.Post(s.url+"/predict_async", w.FormDataContentType(), &form)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var accepted struct {
		RequestID string `json:"request_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&accepted); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("POST /predict_async = %s", resp.Status)
	}
	return accepted.RequestID, nil
}

// result waits for the end of a request.
func (s *system) result(ctx context.Context, id string) (status string, body map[string]any, err error) {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/result/"+id+"?wait=20s", nil)
		if err != nil {
			return "", nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", nil, err
		}
		body = nil
		err = json.NewDecoder(resp.Body).Decode(&body)
		resp.Body.Close()
		if err != nil {
			return "", nil, err
		}
		status, _ = body["status"].(string)
		if status != "queued" && status != "processing" {
			return status, body, nil
		}
	}
}

// picture returns the i-th of many different JPEG files, with some work for the decoder.
func picture(i int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 400, 300))
	for y := range 300 {
		for x := range 400 {
			img.SetRGBA(x, y, color.RGBA{R: uint8(x * (i + 3) / 7), G: uint8(y ^ x), B: uint8(i * 11), A: 255})
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, nil); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// workspace returns a folder like the user's after make images, with the sample images where the README expects them.
// Without reference data it has a substitute for the goldfinch.
func workspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	samples := filepath.Join(dir, "images", "imagenet-sample-images")
	if weights != "" {
		absolute, err := filepath.Abs(testutil.Shared(t, "images", "imagenet-sample"))
		if err == nil {
			err = os.Symlink(absolute, samples)
		}
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	if err := os.Mkdir(samples, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(samples, "n01531178_goldfinch.JPEG"), picture(0), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// need skips the test if a program is missing, unless CI requires all programs.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is needed: %v", p, err)
			}
			t.Skipf("%s is needed: %v", p, err)
		}
	}
}
