package measure

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/peak"
)

// Peak measures the highest rate of multiply-additions, in billions per second, that the threads reach together in a
// precision, "fp32", "bf16" or "int8": the best of several short runs of a loop over registers or, for levels without such a
// loop, of the matrix kernel with operands in the first-level cache. It is measured once in a process: later calls return
// the same rate.
func Peak(precision string, threads int) (float64, error) {
	peaks.Lock()
	defer peaks.Unlock()
	key := peakOf{precision, threads}
	if rate, ok := peaks.rates[key]; ok {
		return rate, nil
	}
	rate, err := measurePeak(precision, threads)
	if err == nil {
		peaks.rates[key] = rate
	}
	return rate, err
}

// peaks are the measured rates.
var peaks = struct {
	sync.Mutex
	rates map[peakOf]float64
}{rates: map[peakOf]float64{}}

type peakOf struct {
	precision string
	threads   int
}

func measurePeak(precision string, threads int) (float64, error) {
	level, err := cpu.Best()
	if err != nil {
		return 0, fmt.Errorf("choose kernels: %w", err)
	}
	loop, ok := peak.FP32(level)
	turn, macs := turnFloats(level)
	switch precision {
	case "int8":
		loop, ok = peak.Int8(level)
		turn, macs = turnBytes(level)
	case "bf16": // all levels that have it have a loop
		loop, ok = peak.BF16(level)
	}
	if ok {
		const turns = 1000
		turn, macs = func() func() { return func() { loop.Run(turns) } }, turns*loop.MACs
	}
	turns := 1_000_000_000 / macs // ten milliseconds or so
	if level == cpu.Generic {
		turns = 20_000_000/macs + 1
	}
	best := time.Duration(1<<63 - 1)
	for range 12 {
		var wait sync.WaitGroup
		start := time.Now()
		for range threads {
			wait.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				work := turn()
				for range turns {
					work()
				}
			})
		}
		wait.Wait()
		best = min(best, time.Since(start))
	}
	return rate(macs*turns*threads, best), nil
}

// turnFloats makes functions that multiply one tile, each in its own memory, and returns the number of multiplications.
func turnFloats(level cpu.Level) (turn func() func(), macs int) {
	k := kernel.For(level)
	const depth = 128
	return func() func() {
		a, b := make([]float32, k.MR*depth), make([]float32, depth*k.NR)
		c, bias := make([]float32, k.MR*k.NR), make([]float32, k.NR)
		return func() {
			k.Multiply(kernel.Product{M: k.MR, N: k.NR, K: depth, Rows: 1, A: a, LDA: depth, B: b, C: c, LDC: k.NR, Bias: bias})
		}
	}, k.MR * k.NR * depth
}

// turnBytes is turnFloats for bytes.
func turnBytes(level cpu.Level) (turn func() func(), macs int) {
	k := kernel8.For(level)
	const rows, steps = 1, 64
	g := kernel8.Geometry{Rows: rows, Steps: steps, RowStride: 4 * steps, PixelStride: 4, DstStride: k.Channels, Width: kernel8.Pixels}
	return func() func() {
		src, w := make([]uint8, (rows+1)*4*steps), make([]int8, k.Panel(g))
		k.Pack(w, g, func(_, _ int, to []int8) {
			for i := range to {
				to[i] = 1
			}
		})
		w = k.Widen(make([]int8, k.Room(len(w))), w)
		dst, mul, bias := make([]uint8, kernel8.Pixels*k.Channels), make([]float32, k.Channels), make([]float32, k.Channels)
		return func() {
			k.Convolve(kernel8.Convolution{Geometry: g, Lines: 1, Dst: dst, Src: src, W: w, Mul: mul, Bias: bias})
		}
	}, kernel8.Pixels * k.Channels * rows * steps * 4
}
