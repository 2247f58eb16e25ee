package resnet

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel"
	"github.com/resnet18cloud/resnet18cloud/engine/internal/kernel8"
)

// Memory is where packed weights are put, or lie already: memory that processes can share. All who pack the same network
// for the same kernels take the same pieces in the same order, so it needs no directory.
type Memory struct {
	Bytes  []byte // from a multiple of 64
	Packed bool   // Bytes are what NewIn or NewInt8In has filled, of the length that it Used, and are only read
	Used   int    // bytes taken
}

// ErrMemory says that packed weights have not the size of the memory for them.
var ErrMemory = errors.New("packed weights do not fit into the memory for them")

// take is the next n bytes.
func (m *Memory) take(n int) []byte {
	from := m.Used
	m.Used += (n + 63) &^ 63
	if m.Used > len(m.Bytes) {
		return make([]byte, n) // in vain: fill refuses
	}
	return m.Bytes[from:][:n:n]
}

// fill does the work unless it is done.
func (m *Memory) fill(work *packing) error {
	switch {
	case m.Used > len(m.Bytes) || m.Packed && m.Used != len(m.Bytes):
		return ErrMemory
	case !m.Packed:
		wishHuge(m.Bytes[:m.Used])
		work.do()
	}
	return nil
}

// packing is work that brings weights into the order in which kernels read them, a panel of output channels each. It is
// most of a replica's start, so it is collected first and then done on all CPUs at once.
type packing struct {
	memory *Memory // nil: the heap
	heap   arena
	work   []func()
}

func (p *packing) add(panels int, pack func(panel int)) {
	for panel := range panels {
		p.work = append(p.work, func() { pack(panel) })
	}
}

// do does the work and returns when all is done.
func (p *packing) do() {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(cpu.Quota(), len(p.work)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(p.work)); i = next.Add(1) - 1 {
				p.work[i]()
			}
		})
	}
	workers.Wait()
}

// room is memory for n weights.
func room[T float32 | int16 | int8](p *packing, n int) []T {
	if p.memory != nil {
		return as[T](p.memory.take, n)
	}
	return as[T](p.heap.take, n)
}

// direct lays the weights of a convolution out for Tile: panels of Columns output channels, the last filled up with
// zeros, each [kernel row][kernel column][input channel][Columns], the order in which a tile meets its input. taps is
// the number of kernel rows times columns.
func (p *packing) direct(k *kernel.Set, c conv, in, taps int) []float32 {
	columns, each := k.Columns, in*taps
	out := len(c.bias)
	panels := (out + columns - 1) / columns
	b := room[float32](p, panels*each*columns)
	p.add(panels, func(panel int) {
		first := panel * columns
		for i := range in {
			for tap := range taps {
				from := c.weight[first*each+i*taps+tap:]
				to := b[((panel*taps+tap)*in+i)*columns:][:min(columns, out-first)]
				for column := range to {
					to[column] = float32(float64(from[column*each]) * c.factor(first+column))
				}
			}
		}
	})
	return b
}

// stem lays the stem's transformed weights out: u as [position][panel][kernel row][StemDeep][Columns], and those of the last
// position as [panel][kernel row][StemDeepLast][Columns].
func (p *packing) stem(k *kernel.Set, c conv) (u, last []float32) {
	const rows, deep, deepLast, positions = 7, kernel.StemDeep, kernel.StemDeepLast, kernel.StemPositions
	columns, panels := k.Columns, len(c.bias)/k.Columns
	u, last = room[float32](p, (positions-1)*rows*deep*len(c.bias)), room[float32](p, rows*deepLast*len(c.bias))
	p.add(panels, func(panel int) {
		for column := range columns {
			o := panel*columns + column
			for i := range 3 * rows {
				colour, row := i/rows, i%rows
				taps := kernel.StemWeights(c.weight[(o*3*rows+i)*rows:][:rows], c.factor(o))
				for position := range positions - 1 {
					at := (((position*panels+panel)*rows+row)*deep + colour) * columns
					u[at+column] = float32(taps[position])
					u[at+3*columns+column] = float32(taps[positions+position])
				}
				last[((panel*rows+row)*deepLast+colour)*columns+column] = float32(taps[positions-1])
			}
		}
	})
	return u, last
}

// winograd lays the transformed weights of a 3x3 convolution out as [matrix][panel][input channel][Columns].
func (p *packing) winograd(k *kernel.Set, w *kernel.Winograd, c conv, in int) []float32 {
	// Matrices lie powers of two apart, where they would fight for the same lines of a cache: so a block of input
	// channels is transformed in a small piece of memory of its own.
	const block = 4
	columns, matrices, panels := k.Columns, w.Matrices(), len(c.bias)/k.Columns
	u := room[float32](p, matrices*in*len(c.bias))
	p.add(panels, func(panel int) {
		t := make([]float32, matrices*block*columns)
		for i := 0; i < in; i += block {
			for column := range columns {
				o := panel*columns + column
				factor := c.factor(o)
				for j := range block {
					w.Weights(t[j*columns+column:], block*columns, c.weight[(o*in+i+j)*9:][:9], factor)
				}
			}
			for matrix := range matrices {
				copy(u[((matrix*panels+panel)*in+i)*columns:], t[matrix*block*columns:][:block*columns])
			}
		}
	})
	return u
}

// bytes lays 8-bit weights out for the tiles of a geometry, in panels of so many bytes each.
func (p *packing) bytes(k *kernel8.Set, c conv8, s shape, g kernel8.Geometry) (w []int8, each int) {
	each = k.Panel(g)
	w = room[int8](p, s.out/k.Channels*each)
	p.add(s.out/k.Channels, func(panel int) {
		k.Pack(w[panel*each:][:each], g, func(channel, row int, to []int8) {
			from := c.weight[(panel*k.Channels+channel)*s.in*s.kernel*s.kernel+row*s.kernel:]
			for column := range s.kernel {
				for i, at := 0, column; i < s.in; i, at = i+1, at+s.kernel*s.kernel {
					to[column*s.in+i] = from[at]
				}
			}
		})
	})
	return w, each
}
