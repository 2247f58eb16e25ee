package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
)

// work is our own contestant: it speaks the protocol on stdin and stdout. args are the weights, the number
// of threads and the file of crops.
func work(precision string, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("worker: %d arguments, want weights, threads and crops", len(args))
	}
	threads, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("worker: threads: %w", err)
	}
	data, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	network, err := loadNetwork(precision, args[0])
	if err != nil {
		return err
	}
	crops := slices.Collect(slices.Chunk(data, network.InputBytes()))
	runner := network.NewRunner(threads)
	defer runner.Close()
	logits := make([]float32, network.Classes())
	for range 5 {
		runner.Forward(logits, crops[0])
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"ready": "ResNet18Cloud"}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var answer any
		if lines.Text() == "labels" {
			answer = map[string][]int{"labels": label(runner, logits, crops)}
		} else {
			passes, err := strconv.Atoi(lines.Text())
			if err != nil {
				return fmt.Errorf("worker: number of passes: %w", err)
			}
			answer = map[string][]float64{"seconds": timePasses(runner, logits, crops[0], passes)}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func timePasses(r *resnet.Runner, logits []float32, crop []byte, passes int) []float64 {
	seconds := make([]float64, passes)
	for i := range seconds {
		start := time.Now()
		r.Forward(logits, crop)
		seconds[i] = time.Since(start).Seconds()
	}
	return seconds
}

func label(r *resnet.Runner, logits []float32, crops [][]byte) []int {
	labels := make([]int, len(crops))
	for i, crop := range crops {
		r.Forward(logits, crop)
		labels[i] = slices.Index(logits, slices.Max(logits))
	}
	return labels
}

// loadNetwork packs the weights of a file.
func loadNetwork(precision, path string) (*resnet.Network, error) {
	set, err := weights.Load(path)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	if precision == "int8" {
		q, err := resnet.LoadQuantized(set)
		if err != nil {
			return nil, err
		}
		return resnet.New(q, nil)
	}
	params, err := resnet.Fold(set)
	if err != nil {
		return nil, err
	}
	return resnet.New(params, nil)
}
