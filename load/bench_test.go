//go:build unix

package load_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
	"github.com/resnet18cloud/resnet18cloud/load"
	"github.com/resnet18cloud/resnet18cloud/load/result"
	"github.com/resnet18cloud/resnet18cloud/load/target"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

func startSwallower(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), swallower+"=1", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(line)
}

// bodies makes n files of 100 KB.
func bodies(b *testing.B, n int) []string {
	b.Helper()
	dir, data := b.TempDir(), make([]byte, 100_000)
	files := make([]string, n)
	for i := range files {
		files[i] = filepath.Join(dir, fmt.Sprintf("%06d.jpg", i))
		if i%50_000 == 0 { // file systems bound the links to a file
			if err := os.WriteFile(files[i], data, 0o600); err != nil {
				b.Fatal(err)
			}
			continue
		}
		if err := os.Link(files[i-i%50_000], files[i]); err != nil {
			b.Fatal(err)
		}
	}
	return files
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func send(b *testing.B, rate float64, files []string) {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 10_000, WriteBufferSize: 64 << 10}
	defer transport.CloseIdleConnections()
	target := target.Sync{Client: &client.Client{BaseURL: startSwallower(b), HTTP: &http.Client{Transport: transport}}}
	for b.Loop() {
		used := cpu()
		s, err := load.Run(b.Context(), load.Config{Target: target, Schedule: schedule.Constant(rate, 5*time.Second), Images: files})
		if err != nil || s.OK != s.Sent {
			b.Fatal(err, s.Errors, s.Examples)
		}
		used = cpu() - used
		b.ReportMetric(s.Rate(), "requests/s")
		b.ReportMetric(float64(s.Sent)/used.Seconds(), "requests/s/core")
		b.ReportMetric(float64(s.Percentile(result.SpanSend, 99).Microseconds()), "send-p99-µs")
		b.ReportMetric(float64(s.Percentile(result.SpanSend, 99.9).Microseconds()), "send-p99.9-µs")
		b.ReportMetric(resident(b), "MB")
	}
}

// resident is this process's memory, mapped files among it, in megabytes.
func resident(b *testing.B) float64 {
	b.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0 // not Linux
	}
	var size, pages float64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize()) / 1e6
}

// BenchmarkSend2000 is the tester's own cost, at 2000 requests a second of 100 KB:
//
//	go test ./load -run '^$' -bench Send -benchtime 1x -cpu 1
//
// requests/s/core counts this process's CPU time, user and system. With -cpu 1 and a schedule that is kept
// (requests/s), one core is enough.
func BenchmarkSend2000(b *testing.B) { send(b, 2000, bodies(b, 1000)) }

// BenchmarkSend500 is how exactly requests leave at 500 a second: send-p99.
func BenchmarkSend500(b *testing.B) { send(b, 500, bodies(b, 1000)) }

// BenchmarkSend500Of100000 has a hundred times the images; MB must be as before.
func BenchmarkSend500Of100000(b *testing.B) { send(b, 500, bodies(b, 100_000)) }

// BenchmarkOpen compares sending a file of 110 KB as it is, which reads it, with the copy that makes it unique.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.jpg")
	if err := os.WriteFile(path, bytes.Repeat([]byte("pixels and "), 10_000), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, open := range map[string]func(string) ([]byte, func(), error){"file": images.Map, "unique": load.Unique(images.Map)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				body, release, err := open(path)
				if err != nil {
					b.Fatal(err)
				}
				if n, _ := io.Copy(io.Discard, onlyReader{bytes.NewReader(body)}); n < 110_000 {
					b.Fatalf("%d bytes", n)
				}
				release()
			}
		})
	}
}

// onlyReader hides WriteTo, so that a body is read in pieces, as by a connection.
type onlyReader struct{ io.Reader }
