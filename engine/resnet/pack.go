package resnet

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

// Memory is where New puts packed weights, or finds them: memory that processes can share. Packing the same network
// for the same kernels takes the same pieces in the same order, so there is no directory.
type Memory struct {
	Bytes  []byte // starting at a multiple of 64
	Packed bool   // Bytes are what New has filled before, of the length in Used, and are only read
	Used   int    // bytes taken; set by New
}

// ErrMemory says that packed weights do not have the size of the memory for them.
var ErrMemory = errors.New("packed weights do not fit into the memory for them")

// take returns the next n bytes.
func (m *Memory) take(n int) []byte {
	from := m.Used
	m.Used += aligned(n)
	if m.Used > len(m.Bytes) {
		return make([]byte, n) // finish will refuse
	}
	return m.Bytes[from:][:n:n]
}

// packing is the work of laying weights out in the order in which kernels read them, one panel of output channels a
// piece. It is most of a replica's start, so it is collected first and then done on all CPUs.
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

// finish does the work, unless the memory holds its results.
func (p *packing) finish() error {
	if m := p.memory; m != nil {
		if m.Used > len(m.Bytes) || m.Packed && m.Used != len(m.Bytes) {
			return ErrMemory
		}
		if m.Packed {
			return nil
		}
		adviseHuge(m.Bytes[:m.Used])
	}
	p.do()
	return nil
}

// do does the work on all CPUs.
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

// room returns memory for n weights.
func room[T number](p *packing, n int) []T {
	if p.memory != nil {
		return numbers[T](p.memory.take, n)
	}
	return numbers[T](p.heap.take, n)
}
