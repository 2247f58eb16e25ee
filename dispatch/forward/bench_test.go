package forward_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/forward"
)

// BenchmarkClassify sends an image of 100 KB to one of four replicas. The replicas, which read the image and do
// nothing, share the process.
func BenchmarkClassify(b *testing.B) {
	var endpoints []string
	for range 4 {
		f := newFake(b, `{"concurrency":4,"queue":4}`, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"predictions":["junco"]}`)
		})
		endpoints = append(endpoints, f.URL)
	}
	p := start(b, forward.Config{Endpoints: endpoints}, 4)
	image := resnet18cloud.Image{Name: "image.jpg", Bytes: make([]byte, 100<<10)}
	ctx := forward.WithRequestID(context.Background(), "id")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Classify(ctx, image); err != nil {
			b.Fatal(err)
		}
	}
}
