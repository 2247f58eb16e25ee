package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

// headerBytes is the part of shared memory that says what the rest holds, filled up with zeros: one page.
const headerBytes = 4096

// layoutVersion changes with the order in which package resnet packs weights.
const layoutVersion = 2

// maxPackedBytes is more than any level's packed weights take. Memory that is not touched costs nothing.
const maxPackedBytes = 256 << 20

// Share packs cfg's weights once for several processes. The file it returns has them in memory that nobody can change
// any more, not even its length; processes that inherit it give it to New as Config.Shared. The memory is freed with
// the last of them. Where the system has no such memory the error is errors.ErrUnsupported.
func Share(cfg Config) (*os.File, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Weights == nil {
		return nil, errors.New("engine: share: want weights")
	}
	f, memory, err := newShared(headerBytes + maxPackedBytes)
	if err != nil {
		return nil, fmt.Errorf("engine: share packed weights: %w", err)
	}
	header, err := cfg.header()
	copy(memory, header)
	packed := resnet.Memory{Bytes: memory[headerBytes:]}
	if err == nil {
		_, _, err = cfg.network(&packed)
	}
	if err = errors.Join(err, seal(f, memory, headerBytes+packed.Used)); err != nil {
		f.Close()
		return nil, fmt.Errorf("engine: share packed weights: %w", err)
	}
	return f, nil
}

// attach maps what Share made. The memory is nil if it holds other weights, or these for other kernels.
func (c Config) attach() ([]byte, error) {
	memory, err := openShared(c.Shared)
	if err != nil {
		return nil, err
	}
	header, err := c.header()
	if err == nil && len(memory) > headerBytes && bytes.Equal(header, memory[:headerBytes]) {
		return memory, nil
	}
	return nil, errors.Join(err, unmap(memory))
}

// header says what shared memory holds.
func (c Config) header() ([]byte, error) {
	cpu, err := DescribeCPU()
	if err != nil {
		return nil, err
	}
	precision := PrecisionFP32
	if c.quantized() {
		precision = PrecisionInt8
	}
	header := make([]byte, headerBytes)
	copy(header, fmt.Sprintf("resnet18cloud packed weights %d: %s in %s for %s, %s\n",
		layoutVersion, c.Weights.SHA256, precision, cpu.FP32, cpu.Int8))
	return header, nil
}
