package replica

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/oip/oippb"
)

// benchClassifier costs nothing.
type benchClassifier struct{ oipClassifier }

func (c benchClassifier) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	image.Bytes = []byte("picture")
	r, err := c.oipClassifier.Classify(ctx, image)
	r.Predictions = []string{"fly", "bee", "ant"}
	return r, err
}

// BenchmarkProtocols compares the cost of a picture of 110 KB, client and server together, without the inference.
func BenchmarkProtocols(b *testing.B) {
	s, err := New(Config{Addr: "127.0.0.1:0", Concurrency: 1}, benchClassifier{oipClassifier{3, true}})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	<-s.Ready()
	picture := make([]byte, 110_000)
	b.Run("predict", func(b *testing.B) {
		for b.Loop() {
			response, err := http.Post(s.URL()+"/predict", "image/jpeg", bytes.NewReader(picture))
			if err != nil || response.StatusCode != http.StatusOK {
				b.Fatal(response, err)
			}
			if _, err := new(bytes.Buffer).ReadFrom(response.Body); err != nil {
				b.Fatal(err)
			}
			response.Body.Close()
		}
	})
	b.Run("gRPC", func(b *testing.B) {
		conn, err := grpc.NewClient(strings.TrimPrefix(s.URL(), "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		c := oippb.NewGRPCInferenceServiceClient(conn)
		q := &oippb.ModelInferRequest{ModelName: "resnet18",
			Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{1},
				Contents: &oippb.InferTensorContents{BytesContents: [][]byte{picture}}}},
			Outputs: []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "scores",
				Parameters: map[string]*oippb.InferParameter{"classification": {ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: 5}}}}}}
		for b.Loop() {
			if _, err := c.ModelInfer(ctx, q); err != nil {
				b.Fatal(err)
			}
		}
	})
}
