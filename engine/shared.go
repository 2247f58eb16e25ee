package engine

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/resnet18cloud/resnet18cloud/engine/resnet"
)

// headerBytes is the size of the header that describes the rest of shared memory, padded with zeros: one page.
const headerBytes = 4096

// layoutVersion changes when package resnet packs weights in another order.
const layoutVersion = 9

// maxPackedBytes is more than any level's packed weights need. Untouched memory costs nothing.
const maxPackedBytes = 256 << 20

// Share packs cfg's weights once for several processes. It returns a file in memory whose content and length are sealed;
// processes that inherit it pass it to New as Config.Shared. The memory is freed with the last of them. On systems
// without such memory the error is errors.ErrUnsupported.
func Share(cfg Config) (*os.File, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Weights == nil {
		return nil, errors.New("engine: share packed weights: no weights given")
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

// attach maps the memory of Share. It returns nil if no file holds these weights for these kernels. A file that cannot be read
// does not keep it from the others.
func (c Config) attach() ([]byte, error) {
	header, err := c.header()
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, f := range c.Shared {
		memory, err := attachOne(f, header)
		if memory != nil {
			return memory, nil
		}
		problems = append(problems, err)
	}
	return nil, errors.Join(problems...)
}

// attachOne maps the memory of a file if it begins with a header. It reads that before, because mapping another model's weights
// would cost time.
func attachOne(f *os.File, header []byte) ([]byte, error) {
	start := make([]byte, len(header))
	if _, err := f.ReadAt(start, 0); err != nil || !bytes.Equal(header, start) {
		return nil, err
	}
	memory, err := openShared(f)
	if err == nil && len(memory) > headerBytes && bytes.Equal(header, memory[:headerBytes]) {
		return memory, nil
	}
	return nil, errors.Join(err, unmap(memory))
}

// header describes the content of shared memory.
func (c Config) header() ([]byte, error) {
	cpu, err := DescribeCPU()
	if err != nil {
		return nil, err
	}
	// What a file holds may be read in several ways, with options that are not in it.
	model := sha256.Sum256(fmt.Appendf(nil, "%+v", c.Weights.Spec))
	header := make([]byte, headerBytes)
	copy(header, fmt.Sprintf("resnet18cloud packed weights %d: %s as %x in %s for %s, %s\n",
		layoutVersion, c.Weights.SHA256, model, c.first(), cpu.FP32, cpu.Int8))
	return header, nil
}
