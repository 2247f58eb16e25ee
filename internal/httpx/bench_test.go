//go:build unix

package httpx

import (
	"bytes"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud/internal/tlsfiles"
)

// BenchmarkUpload sends images of 100 KB on one connection, with TLS and without.
func BenchmarkUpload(b *testing.B) {
	files, authority := certificate(b)
	own := authority.Issue(b)
	for name, test := range map[string]struct{ server, client tlsfiles.Files }{
		"plain": {}, "TLS": {files, tlsfiles.Files{CA: own.CA}},
	} {
		b.Run(name, func(b *testing.B) {
			s := uploadServer(NewUploads(UploadLimits{}))
			s.TLS = test.server
			url := serve(b, s)
			if name == "plain" {
				url = "http://" + url
			}
			client, err := tlsfiles.HTTPClient(test.client, true)
			if err != nil {
				b.Fatal(err)
			}
			defer client.CloseIdleConnections()
			image := make([]byte, 100<<10)
			b.SetBytes(int64(len(image)))
			b.ReportAllocs()
			start := cpuTime(b)
			b.ResetTimer()
			for range b.N {
				resp, err := client.Post(url, "image/jpeg", bytes.NewReader(image))
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/float64(b.N), "CPU-µs/image")
		})
	}
}

// cpuTime returns the processor time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
