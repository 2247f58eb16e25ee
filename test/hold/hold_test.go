//go:build hold

package hold

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/test/internal/harness"
)

// seconds is the duration of each of four measurements: HOLD_SECONDS, 15 by default.
func seconds(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("HOLD_SECONDS")
	if text == "" {
		return 15 * time.Second
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("HOLD_SECONDS %q is not a number of seconds", text)
	}
	return time.Duration(n) * time.Second
}

const (
	attempts = 3                     // other work on the machine may spoil a measurement
	noise    = 15 * time.Millisecond // difference between two equal measurements on a machine with two busy cores
)

// compare measures without and with the holders, twice in turn, and checks that the 99th percentile is at most twice
// that without holders, and that every request succeeds.
func compare(t *testing.T, p *process, perSecond, n int, h harness.Holder) {
	t.Helper()
	measure(t, p.addr, perSecond, 2*time.Second) // warm-up
	p.peakMiB()
	for attempt := 1; ; attempt++ {
		var without, with latencies
		for range 2 {
			without.add(measure(t, p.addr, perSecond, seconds(t)))
			stop := harness.Hold(t, net.Dialer{}, p.addr, n, h)
			with.add(measure(t, p.addr, perSecond, seconds(t)))
			stop()
		}
		t.Logf("without: %s", without)
		t.Logf("with:    %s", with)
		t.Logf("most memory of the process: %d MiB", p.peakMiB())
		slow := with.quantile(0.99) > 2*without.quantile(0.99)+noise
		if !slow && len(with.errors) == 0 {
			return
		}
		if attempt == attempts {
			t.Errorf("p99 %s with the holders, %s without, errors %v", with.quantile(0.99), without.quantile(0.99), with.errors)
			return
		}
	}
}

// TestSlowUploads sends images slowly to the dispatcher.
func TestSlowUploads(t *testing.T) {
	p := startDispatcher(t, 0)
	for name, test := range map[string]struct {
		n int
		h harness.Holder
	}{
		"64 at 4 KB/s":             {64, harness.Upload("/predict", 100_000, 4_000)},
		"300 silent":               {300, harness.Upload("/predict_async", 100_000, 0)},
		"300 of 10 MB at 20 KB/s":  {300, harness.Upload("/predict_async", 10_000_000, 20_000)},
		"100 bursts, then silence": {100, harness.Burst("/predict_async", 10_000_000)},
	} {
		t.Run(name, func(t *testing.T) { compare(t, p, 20, test.n, test.h) })
	}
}

// TestSlowUploadsAtReplica sends images slowly to a replica with a real engine.
func TestSlowUploadsAtReplica(t *testing.T) {
	p := start(t, 0, "/health/ready", "replica", "--random-weights")
	for name, test := range map[string]struct {
		n int
		h harness.Holder
	}{
		"64 at 4 KB/s":             {64, harness.Upload("/predict", 100_000, 4_000)},
		"300 silent":               {300, harness.Upload("/predict", 100_000, 0)},
		"100 bursts, then silence": {100, harness.Burst("/predict", 10_000_000)},
	} {
		t.Run(name, func(t *testing.T) { compare(t, p, 4, test.n, test.h) })
	}
}

// TestLongPolls makes clients wait for a result that does not come.
func TestLongPolls(t *testing.T) {
	p := startDispatcher(t, 0)
	id := submitStuck(t, p)
	compare(t, p, 20, 4000, harness.Ask("GET /result/"+id+"?wait=60", harness.Read))
}

// submitStuck submits an image that is never classified, and returns the request ID.
func submitStuck(t *testing.T, p *process) string {
	t.Helper()
	response, err := http.Post("http://"+p.addr+"/predict_async?filename="+stuck, "image/jpeg", strings.NewReader(stuck))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var accepted struct {
		ID string `json:"request_id"`
	}
	if err := json.NewDecoder(response.Body).Decode(&accepted); err != nil || accepted.ID == "" {
		t.Fatalf("submit: %s %v", response.Status, err)
	}
	return accepted.ID
}

// TestUnreadLists makes clients request the longest list without reading it.
func TestUnreadLists(t *testing.T) {
	p := startDispatcher(t, 0)
	for range 1200 { // of one image, so that all but the first come from the cache
		if err := post(http.DefaultClient, "http://"+p.addr+"/predict_async", picture); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, p, 20, 400, harness.Ask("GET /results?limit=1000", harness.Leave))
	t.Run("read", func(t *testing.T) { compare(t, p, 20, 100, harness.Ask("GET /results?limit=1000", harness.Read)) })
}

// TestSlowHeaders makes clients send headers that never end.
func TestSlowHeaders(t *testing.T) {
	p := startDispatcher(t, 0)
	compare(t, p, 20, 3000, harness.SlowHeaders)
}

// TestFewDescriptors has more clients than file descriptors, with a dispatcher that needs some for its store.
func TestFewDescriptors(t *testing.T) {
	p := startDispatcher(t, 1024)
	id := submitStuck(t, p)
	for name, test := range map[string]struct {
		n int
		h harness.Holder
	}{
		"1100 idle":         {1100, harness.Ask("GET /health", harness.Leave)},
		"1100 slow headers": {1100, harness.SlowHeaders},
		"1100 long-polls":   {1100, harness.Ask("GET /result/"+id+"?wait=60", harness.Read)},
		"1100 silent":       {1100, harness.Upload("/predict", 100_000, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, p, 20, test.n, test.h)
			response, err := http.Get(fmt.Sprintf("http://%s/health/ready", p.addr))
			if err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("ready after it: %+v %v", response, err)
			}
		})
	}
}
