package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// work is our own contestant: it speaks the protocol on stdin and stdout. args are the weights, the number
// of threads and the crop.
func work(precision string, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("worker: %d arguments, want weights, threads and crop", len(args))
	}
	threads, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("worker: threads: %w", err)
	}
	network, err := loadNetwork(precision, args[0])
	if err != nil {
		return err
	}
	pixels, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	rgb := (*[resnet.Pixels]byte)(pixels)
	runner := network.NewRunner(threads)
	defer runner.Close()
	var logits [resnet.Classes]float32
	for range 3 {
		runner.Forward(&logits, rgb)
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"ready": "ResNet18Cloud (" + network.Kernels() + ")"}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		images, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		if err != nil {
			return fmt.Errorf("worker: number of images: %w", err)
		}
		seconds := make([]float64, images)
		for i := range seconds {
			start := time.Now()
			runner.Forward(&logits, rgb)
			seconds[i] = time.Since(start).Seconds()
		}
		if err := out.Encode(map[string]any{"seconds": seconds, "top1": best(logits[:])}); err != nil {
			return err
		}
	}
	return lines.Err()
}

func loadNetwork(precision, path string) (*resnet.Network, error) {
	set, err := weights.Load(path)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	if precision != "fp32" {
		return nil, fmt.Errorf("worker: no precision %q", precision)
	}
	params, err := resnet.Fold(set)
	if err != nil {
		return nil, err
	}
	return resnet.New(params)
}

// best is the class of the largest logit.
func best(logits []float32) int {
	at := 0
	for class, v := range logits {
		if v > logits[at] {
			at = class
		}
	}
	return at
}
