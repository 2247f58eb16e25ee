package resnet18cloud_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
	"github.com/resnet18cloud/resnet18cloud/dispatch"
	"github.com/resnet18cloud/resnet18cloud/dispatch/queue/memqueue"
	"github.com/resnet18cloud/resnet18cloud/dispatch/store/memstore"
	"github.com/resnet18cloud/resnet18cloud/engine"
)

// The whole path of one image in one process: a client submits it, the dispatcher queues it and has the engine classify
// it, and the client fetches the result. In production, queue and store are in NATS JetStream, and replicas run the
// engine in other processes. Without a weight file (engine.Config.Weights) the labels are meaningless, and the result
// carries a warning.
func Example() {
	e, err := engine.New(engine.Config{})
	check(err)
	defer e.Close()
	d, err := dispatch.New(dispatch.Config{
		Addr:            "127.0.0.1:0",
		Queue:           memqueue.New(dispatch.DefaultQueueCapacity, 10*time.Second),
		Store:           memstore.New(time.Hour, 1000),
		Classifier:      e,
		ClassifierSlots: e.Info().Concurrency,
	})
	check(err)
	check(d.Listen())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()

	var file bytes.Buffer
	check(png.Encode(&file, image.NewGray(image.Rect(0, 0, 320, 240))))
	c := client.Client{BaseURL: d.URL()}
	ticket, err := c.Submit(ctx, resnet18cloud.Image{Name: "night.png", Bytes: file.Bytes()}, client.Options{})
	check(err)
	outcome, err := c.Wait(ctx, ticket.RequestID)
	check(err)
	fmt.Println(outcome.Status, outcome.Result.Filename, len(outcome.Result.Predictions), "labels")
	fmt.Println(outcome.Result.Warning)

	stop()
	check(<-ended)
	// Output:
	// completed night.png 5 labels
	// The weights are random, so the labels mean nothing. Fetch real weights with: resnet18cloud model pull
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
