package dispatch_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// manifestNumber returns a number from k8s/dispatcher.yaml: the first group of the pattern.
func manifestNumber(t *testing.T, pattern string) int64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testutil.Root(t), "k8s", "dispatcher.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		t.Fatalf("k8s/dispatcher.yaml has no %s", pattern)
	}
	n, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// memoryChild is set in the process whose memory is measured.
const memoryChild = "RESNET18_TEST_MEMORY_CHILD"

// TestMemoryOfUploads sends 48 different images of 10 MiB at a time to a dispatcher with the settings of the manifest,
// whose replicas are slow and take many images at a time, and checks the largest memory of the process. The clients are
// in the same process, because they cost little: all send from one buffer.
func TestMemoryOfUploads(t *testing.T) {
	t.Parallel()
	if os.Getenv(memoryChild) != "" {
		holdUploads(t)
		return
	}
	if runtime.GOOS != "linux" || testing.Short() || withRace {
		t.Skip("reads /proc, writes 500 MB, and measures a program without the race detector")
	}
	limit := manifestNumber(t, `memory: (\d+)Mi\}\n\s+securityContext`)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemoryOfUploads$", "-test.v")
	cmd.Env = append(os.Environ(), memoryChild+"=1", fmt.Sprintf("GOMEMLIMIT=%dMiB", manifestNumber(t, `GOMEMLIMIT, value: (\d+)MiB`)))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if _, text, ok := strings.Cut(line, "peak of resident memory: "); ok {
			peak, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("peak %d MiB", peak>>20)
			if peak>>20 >= limit {
				t.Errorf("the dispatcher needs %d MiB, the manifest allows %d", peak>>20, limit)
			}
			return
		}
	}
	t.Fatalf("the process did not report its memory:\n%s", out)
}

// slowReplica takes 300 ms for each image.
type slowReplica struct{}

func (slowReplica) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	select {
	case <-time.After(300 * time.Millisecond):
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	return resnet18cloud.Result{Filename: image.Name, Predictions: []string{"junco"}, Model: "m", Precision: "fp32"}, nil
}

// numbered is an image of 10 MiB that differs from others in its first bytes. It is a reader of memory that all share.
func numbered(n int, rest []byte) *multi {
	first := binary.BigEndian.AppendUint64(nil, uint64(n))
	return &multi{bytes.NewReader(first), bytes.NewReader(rest)}
}

type multi struct{ first, rest *bytes.Reader }

func (m *multi) Read(p []byte) (int, error) {
	if m.first.Len() > 0 {
		return m.first.Read(p)
	}
	return m.rest.Read(p)
}

func holdUploads(t *testing.T) {
	c := start(t, dispatch.Config{Classifier: slowReplica{}, ClassifierSlots: 100, NATS: natsconn.Config{DataDir: t.TempDir()},
		MaxUploadBytes:  manifestNumber(t, `RESNET18_MAX_UPLOAD_BYTES, value: "(\d+)"`),
		MaxWorkingBytes: manifestNumber(t, `RESNET18_MAX_WORKING_BYTES, value: "(\d+)"`)})
	const size = 10 << 20
	rest := make([]byte, size-8)
	var clients sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for i := range 48 {
		clients.Go(func() {
			for range 200 {
				req, err := http.NewRequest(http.MethodPost, c.url+"/predict", numbered(i, rest))
				if err != nil {
					t.Error(err)
					return
				}
				req.ContentLength = size
				req.Header.Set("Content-Type", "image/jpeg")
				resp, err := c.http.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				mu.Lock()
				statuses[resp.StatusCode]++
				mu.Unlock()
				if resp.StatusCode != http.StatusServiceUnavailable {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
			t.Error("never accepted")
		})
	}
	clients.Wait()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rss, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(rss, &kib); err != nil {
		t.Fatal(err)
	}
	t.Logf("responses: %v", statuses)
	fmt.Printf("peak of resident memory: %d\n", kib<<10)
}
