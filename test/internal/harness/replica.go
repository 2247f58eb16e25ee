package harness

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/replica"
)

// replicaAddr makes Main run a replica on the address.
const replicaAddr = "HARNESS_REPLICA_ADDR"

// StartReplica starts a process of the test's own binary as a replica on addr. It takes 20 ms per image, 8 at a time.
func StartReplica(t testing.TB, name, addr string) *Process {
	t.Helper()
	return Start(t, name, func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), replicaAddr+"="+addr)
		return cmd
	})
}

func serveReplica(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := replica.New(replica.Config{Addr: addr, Concurrency: 8,
		Model: func() replica.Model { return replica.Model{Weights: "stand-in", Precision: "fp32"} }}, labeller{})
	if err != nil {
		return err
	}
	if err := s.Listen(); err != nil {
		return err
	}
	return s.Run(ctx)
}

// labeller takes 20 ms per image and derives the label from its bytes.
type labeller struct{}

// Classify implements resnet18cloud.Classifier.
func (labeller) Classify(ctx context.Context, image resnet18cloud.Image) (resnet18cloud.Result, error) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return resnet18cloud.Result{}, ctx.Err()
	}
	l := Label(image.Bytes)
	return resnet18cloud.Result{Filename: image.Name, InferenceTime: 0.02, Predictions: []string{l, l, l, l, l},
		Model: "stand-in", Precision: "fp32"}, nil
}

// Label returns a stand-in replica's label for an image.
func Label(image []byte) string {
	sum := sha256.Sum256(image)
	return fmt.Sprintf("label-%08x", binary.BigEndian.Uint32(sum[:]))
}
