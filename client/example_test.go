package client_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/client"
)

// One image: send it and wait for its labels. A full queue is waited for.
func ExampleClient_Predict() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := &client.Client{BaseURL: "http://127.0.0.1:8080", Retry: client.Retry{Attempts: 5}}
	picture, err := os.ReadFile("goldfinch.jpg")
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := c.Predict(ctx, resnet18cloud.Image{Name: "goldfinch.jpg", Bytes: picture}, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range result.Scores {
		fmt.Printf("%-20s %.1f %%\n", s.Label, 100**s.Probability)
	}
}

// An image whose result is fetched later, even by another program.
func ExampleClient_Submit() {
	ctx, picture := context.Background(), []byte("...")
	c := &client.Client{BaseURL: "http://127.0.0.1:8080"}
	ticket, err := c.Submit(ctx, resnet18cloud.Image{Name: "goldfinch.jpg", Bytes: picture}, client.Options{})
	if client.IsFull(err) {
		fmt.Println("try again later")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	outcome, err := c.Wait(ctx, ticket.RequestID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(outcome.Result.Predictions)
}

// A server with keys and a certificate of an authority of your own.
func ExampleTrusting() {
	https, err := client.Trusting("ca.crt")
	if err != nil {
		fmt.Println(err)
		return
	}
	c := &client.Client{BaseURL: "https://photos.example.com:8443", HTTP: https, Token: os.Getenv("TOKEN")}
	if err := c.Ready(context.Background()); err != nil {
		fmt.Println(err)
	}
}

// Several images in one request, and their results as they come.
func ExampleClient_Watch() {
	ctx, a, b := context.Background(), []byte("..."), []byte("...")
	c := &client.Client{BaseURL: "http://127.0.0.1:8080", Retry: client.Retry{Attempts: 5}}
	images := []resnet18cloud.Image{{Name: "a.jpg", Bytes: a}, {Name: "b.jpg", Bytes: b}}
	items, err := c.SubmitBatch(ctx, images, client.Options{IdempotencyKey: "holiday-2026"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var accepted []string
	for i, item := range items {
		if item.Err != nil {
			fmt.Println(images[i].Name, item.Err)
			continue
		}
		accepted = append(accepted, item.RequestID)
	}
	for o, err := range c.Watch(ctx, accepted...) {
		switch {
		case err != nil:
			fmt.Println(o.RequestID, err)
		case o.Status.Final():
			result, err := o.Answer()
			fmt.Println(o.Filename, result.Predictions, err)
		}
	}
}
