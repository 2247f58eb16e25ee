package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/quantize"
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
	rgb, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	network, err := loadNetwork(precision, args[0], rgb)
	if err != nil {
		return err
	}
	runner := network.NewRunner(threads)
	defer runner.Close()
	logits := make([]float32, network.Classes())
	for range 3 {
		runner.Forward(logits, rgb)
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"ready": "ResNet18Cloud"}); err != nil {
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
			runner.Forward(logits, rgb)
			seconds[i] = time.Since(start).Seconds()
		}
		if err := out.Encode(map[string]any{"seconds": seconds, "top1": best(logits)}); err != nil {
			return err
		}
	}
	return lines.Err()
}

// loadNetwork packs the weights; for int8 they are quantized with scales from the one picture that is timed.
func loadNetwork(precision, path string, rgb []byte) (*resnet.Network, error) {
	set, err := weights.Load(path)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	params, err := resnet.Fold(set)
	if err != nil {
		return nil, err
	}
	network, err := resnet.New(params, nil)
	if err != nil || precision == "fp32" {
		return network, err
	}
	calibration, err := quantize.Calibrate(network, [][]byte{rgb}, nil)
	if err != nil {
		return nil, err
	}
	q, err := resnet.Quantize(params, calibration)
	if err != nil {
		return nil, err
	}
	return resnet.New(q, nil)
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
