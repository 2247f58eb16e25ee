package memqueue_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud/dispatch/queue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQueue(t *testing.T) {
	t.Parallel()
	queuetest.Suite{Virtual: true, Open: func(_ *testing.T, capacity int) (queue.Queue, func() queue.Queue) {
		return memqueue.New(capacity, queuetest.AckWait), nil
	}}.Run(t)
}

// TestFaulty checks that a faulty queue without faults fulfills the contract.
func TestFaulty(t *testing.T) {
	t.Parallel()
	queuetest.Suite{Virtual: true, Open: func(_ *testing.T, capacity int) (queue.Queue, func() queue.Queue) {
		return &queuetest.Faulty{Queue: memqueue.New(capacity, queuetest.AckWait)}, nil
	}}.Run(t)
}
