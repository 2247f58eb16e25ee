package dispatch_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/internal/access/accesstest"
	"github.com/resnet18cloud/resnet18cloud/internal/lend"
	"github.com/resnet18cloud/resnet18cloud/internal/natsconn"
	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles/tlstest"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing"
	"github.com/resnet18cloud/resnet18cloud/internal/tracing/otlp"
)

// null returns immediately, so that a benchmark measures the dispatcher's own cost (and that of HTTP in the replica
// and in the client, which share the process).
type null struct{}

func (null) Classify(_ context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	return resnet18cloud.Result{Filename: image.Name, InferenceTime: 1e-6,
		Predictions: []string{"a", "b", "c", "d", "e"}, Model: "null", Precision: "none"}, nil
}

// imageBytes is the size of a typical ImageNet image.
const imageBytes = 100 << 10

// same is the common end of all images.
var same = bytes.Repeat([]byte{0xA5}, imageBytes-8)

// send submits an image with unique content.
func send(c *http.Client, url string, n uint64) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodPost, url+"/predict_async", http.NoBody)
	if err != nil {
		return nil, err
	}
	body := lend.New(binary.BigEndian.AppendUint64(nil, n), same)
	defer body.Return()
	body.Attach(req)
	req.Header.Set("Content-Type", "image/jpeg")
	return c.Do(req)
}

// submitAndWait sends a unique image and polls until the result is available.
func submitAndWait(c *http.Client, url string, n uint64) error {
	resp, err := send(c, url, n)
	if err != nil {
		return err
	}
	var accepted struct {
		RequestID string `json:"request_id"`
		Error     string `json:"error"`
	}
	if err := decode(resp, &accepted); err != nil {
		return err
	}
	if accepted.RequestID == "" {
		return &resnet18cloud.Error{Code: resnet18cloud.CodeFull, Message: accepted.Error}
	}
	for {
		resp, err := c.Get(url + "/result/" + accepted.RequestID + "?wait=10s")
		if err != nil {
			return err
		}
		var result struct {
			Status resnet18cloud.Status `json:"status"`
			Error  string               `json:"error"`
		}
		if err := decode(resp, &result); err != nil {
			return err
		}
		switch result.Status {
		case resnet18cloud.StatusCompleted:
			return nil
		case resnet18cloud.StatusFailed:
			return &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: result.Error}
		}
	}
}

func decode(resp *http.Response, v any) error {
	defer resp.Body.Close()
	err := json.NewDecoder(resp.Body).Decode(v)
	_, _ = io.Copy(io.Discard, resp.Body)
	return err
}

// userCPU returns the processor time this process has used.
func userCPU(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func startNull(b *testing.B) (*http.Client, string) { return startNullWith(b, nil) }

// startNullTraced is startNull with a tenth of the images traced, and a receiver that discards their spans.
func startNullTraced(b *testing.B) (*http.Client, string) {
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Cleanup(receiver.Close)
	share := 0.1
	exporter, err := otlp.New(b.Context(), otlp.Config{Endpoint: receiver.URL, Sample: &share, Service: "dispatcher", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(exporter.Close)
	return startNullWith(b, exporter.Tracer())
}

func startNullWith(b *testing.B, tracer *tracing.Tracer) (*http.Client, string) {
	c := startServing(b, dispatch.Config{NATS: natsconn.Config{DataDir: b.TempDir()}, QueueCapacity: 1000, Tracer: tracer}, 16, null{})
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	b.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, c.url
}

// startNullTLS is startNull with TLS everywhere, mutual between dispatcher and replica, and keys of clients.
func startNullTLS(b *testing.B) (*http.Client, string) {
	authority := tlstest.NewAuthority(b)
	front, own := authority.Issue(b), authority.Issue(b)
	front.CA = ""
	c := start(b, dispatch.Config{NATS: natsconn.Config{DataDir: b.TempDir()}, QueueCapacity: 1000, TLS: front, ReplicaTLS: own,
		Endpoints: []string{startSecureReplica(b, authority.Issue(b), 16, null{})}, Access: accesstest.Guard(b)})
	transport := &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}}
	b.Cleanup(transport.CloseIdleConnections)
	c.http.Transport = transport
	client := c.as(accesstest.Ops)
	client.eventually("replica is healthy", func() bool { return client.get("/health/ready").status == http.StatusOK })
	return client.http, c.url
}

// closedLoop makes clients send images one after the other, each when its last result has arrived, and returns the
// number of images per second. Images are numbered from first.
func closedLoop(b *testing.B, client *http.Client, url string, clients int, first uint64, images int) float64 {
	b.Helper()
	var sent atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range clients {
		all.Go(func() {
			for i := sent.Add(1); i <= int64(images); i = sent.Add(1) {
				if err := submitAndWait(client, url, first+uint64(i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return float64(images) / time.Since(start).Seconds()
}

// BenchmarkClosedLoop runs 32 clients that each send an image, wait for its result, and send the next.
func BenchmarkClosedLoop(b *testing.B) { benchmarkClosedLoop(b, startNull) }

// BenchmarkClosedLoopTLS is BenchmarkClosedLoop with TLS and keys; compare the two, run alternately.
func BenchmarkClosedLoopTLS(b *testing.B) { benchmarkClosedLoop(b, startNullTLS) }

// BenchmarkClosedLoopTraced is BenchmarkClosedLoop with a tenth of the images traced; compare the two, run alternately.
func BenchmarkClosedLoopTraced(b *testing.B) { benchmarkClosedLoop(b, startNullTraced) }

// BenchmarkTracesCompared is BenchmarkClosedLoop without traces and with a tenth of the images traced, in turns of 200 images each. It
// reports the medians of the ratios of neighbouring turns: CPU time for an image, and images per second.
func BenchmarkTracesCompared(b *testing.B) {
	const images = 200
	type service struct {
		client *http.Client
		url    string
	}
	var services [2]service
	services[0].client, services[0].url = startNull(b)
	services[1].client, services[1].url = startNullTraced(b)
	var cpu, rate []float64
	first := uint64(0)
	for n := range b.N {
		var took [2]time.Duration
		var rates [2]float64
		for i := range services {
			i ^= n % 2 // whoever is first has no advantage on average
			before := userCPU(b)
			rates[i] = closedLoop(b, services[i].client, services[i].url, 32, first, images)
			took[i] = userCPU(b) - before
			first += images
		}
		cpu, rate = append(cpu, took[1].Seconds()/took[0].Seconds()), append(rate, rates[1]/rates[0])
	}
	b.ReportMetric(median(cpu), "traced/untraced-CPU")
	b.ReportMetric(median(rate), "traced/untraced-images/s")
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func benchmarkClosedLoop(b *testing.B, start func(*testing.B) (*http.Client, string)) {
	client, url := start(b)
	b.SetBytes(imageBytes)
	cpu := userCPU(b)
	b.ResetTimer()
	rate := closedLoop(b, client, url, 32, 0, b.N)
	b.StopTimer()
	b.ReportMetric(rate, "images/s")
	b.ReportMetric(float64((userCPU(b)-cpu).Microseconds())/float64(b.N), "CPU-µs/image")
	b.ReportMetric(liveMiB(), "MiB-heap")
}

// liveMiB returns the live memory of this process, in MiB.
func liveMiB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkOpenLoop300 sends 300 images per second regardless of responses, and measures each from its scheduled
// time.
func BenchmarkOpenLoop300(b *testing.B) {
	client, url := startNull(b)
	const interval = time.Second / 300
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	start := time.Now()
	var sending sync.WaitGroup
	for i := range took {
		due := start.Add(time.Duration(i) * interval)
		time.Sleep(time.Until(due))
		sending.Go(func() {
			if err := submitAndWait(client, url, uint64(i)); err != nil {
				b.Error(err)
			}
			took[i] = time.Since(due)
		})
	}
	sending.Wait()
	b.StopTimer()
	slices.Sort(took)
	for _, p := range []struct {
		unit string
		of   float64
	}{{"p50-ms", 0.5}, {"p99-ms", 0.99}} {
		b.ReportMetric(float64(took[int(p.of*float64(len(took)-1))].Microseconds())/1000, p.unit)
	}
}

// busy takes 10 ms per image, without using the processor.
type busy struct{ null }

func (b busy) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	time.Sleep(10 * time.Millisecond)
	return b.null.Classify(ctx, image)
}

// BenchmarkOverload offers twice the capacity of a replica with two workers, 200 images per second, for 300 images
// per iteration; -benchtime 80x is a minute. Goodput is the number of completed images per second, relative to the
// peak: the rate of 8 clients that each wait for their result, measured before. The peak itself is given relative to
// the capacity of the workers alone. The heap is live memory at the end. Every rejection must have a Retry-After, and
// every 202 must complete.
func BenchmarkOverload(b *testing.B) {
	const workers, offered, perIteration = 2, 400, 300
	c := startServing(b, dispatch.Config{NATS: natsconn.Config{DataDir: b.TempDir()}}, workers, busy{})
	const probe, peakImages = 50, 1000
	before := time.Now()
	for range probe {
		_, _ = busy{}.Classify(b.Context(), resnet18cloud.Image{}) // it never fails
	}
	capacity := workers * probe / time.Since(before).Seconds()
	peak := closedLoop(b, c.http, c.url, 8, 1<<32, peakImages)
	done := c.get("/status").json(b)["successful_requests"].(float64)
	submit := func(n uint64) (id string, err error) {
		resp, err := send(c.http, c.url, n)
		if err != nil {
			return "", err
		}
		var body struct {
			RequestID string `json:"request_id"`
		}
		if err := decode(resp, &body); err != nil {
			return "", err
		}
		if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" {
			return "", nil
		}
		if resp.StatusCode != http.StatusAccepted {
			return "", &resnet18cloud.Error{Code: resnet18cloud.CodeInternal, Message: resp.Status}
		}
		return body.RequestID, nil
	}
	ids := make([]string, perIteration*b.N)
	b.ResetTimer()
	start := time.Now()
	var sending sync.WaitGroup
	for i := range ids {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / offered)))
		sending.Go(func() {
			id, err := submit(uint64(i))
			if err != nil {
				b.Error(err)
			}
			ids[i] = id
		})
	}
	sending.Wait()
	took := time.Since(start).Seconds()
	completed := c.get("/status").json(b)["successful_requests"].(float64) - done
	b.StopTimer()
	accepted := 0
	for _, id := range ids {
		if id == "" {
			continue
		}
		accepted++
		if got := c.wait(id); got["status"] != "completed" {
			b.Errorf("an accepted request ended as %v", got)
		}
	}
	b.ReportMetric(100*completed/took/peak, "%goodput")
	b.ReportMetric(100*peak/capacity, "%peak")
	b.ReportMetric(100*float64(accepted)/float64(len(ids)), "%accepted")
	b.ReportMetric(liveMiB(), "MiB-heap")
}
