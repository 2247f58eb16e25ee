//go:build linux

package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resnet18cloud/resnet18cloud/engine/imagenet"
	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// logitsOf is an engine's answer to one picture, and whether it shares its weights.
func logitsOf(t *testing.T, cfg Config) (logits [imagenet.Classes]float32, shared bool) {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Logits(context.Background(), tiny(t), logits[:]); err != nil {
		t.Fatal(err)
	}
	return logits, e.Info().Shared
}

// realWeights is those of a file, closed at the test's end.
func realWeights(t *testing.T) *weights.Set {
	t.Helper()
	set, err := weights.Load(testutil.Shared(t, "models", "resnet18-ktb.pth"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	return set
}

func share(t *testing.T, set *weights.Set) *os.File {
	t.Helper()
	f, err := Share(Config{Weights: set})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("this system shares no memory: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestShared checks that concurrent engines on shared weights answer bit for bit like one that packed its own.
func TestShared(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]*weights.Set{"fp32": realWeights(t), "int8": randomInt8(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, shared := logitsOf(t, Config{Weights: set, Concurrency: 1})
			if shared {
				t.Fatal("an engine shares what it was not given")
			}
			f := share(t, set)
			for range 3 {
				t.Run("", func(t *testing.T) {
					t.Parallel()
					got, shared := logitsOf(t, Config{Weights: set, Shared: []*os.File{f}, Concurrency: 1})
					if !shared || got != want {
						t.Errorf("shared %t, logits equal %t; want both", shared, got == want)
					}
				})
			}
		})
	}
}

// TestSharedIsChecked gives engines shared files that do not fit: they must pack by themselves.
func TestSharedIsChecked(t *testing.T) {
	t.Parallel()
	set := randomInt8(t)
	want, _ := logitsOf(t, Config{Weights: set, Concurrency: 1})
	good := share(t, set)
	info, err := good.Stat()
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, info.Size())
	if _, err := good.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	inMemory := func(content []byte, sealed int) *os.File {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "test")
		t.Cleanup(func() { f.Close() })
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, sealed); err != nil {
			t.Fatal(err)
		}
		return f
	}
	onDisk, err := os.Create(filepath.Join(t.TempDir(), "shared"))
	if err != nil {
		t.Fatal(err)
	}
	defer onDisk.Close()
	if _, err := onDisk.Write(whole); err != nil {
		t.Fatal(err)
	}
	other := randomInt8(t)
	other.SHA256 = "9876543210"
	closed := inMemory(nil, 0)
	closed.Close()
	// What does not describe itself as these weights is not mapped.
	for name, f := range map[string]*os.File{
		"empty":            inMemory(nil, seals),
		"header alone":     inMemory(whole[:headerBytes], seals),
		"not sealed":       inMemory(whole, 0),
		"may shrink":       inMemory(whole, seals&^unix.F_SEAL_SHRINK),
		"of other weights": share(t, other),
		"a file":           onDisk,
		"closed":           closed,
	} {
		if memory, err := (Config{Weights: set, Shared: []*os.File{f}}).attach(); memory != nil {
			t.Errorf("%s: %d bytes are mapped, error %v", name, len(memory), err)
		}
	}
	for name, f := range map[string]*os.File{
		"not mapped": onDisk,
		"truncated":  inMemory(whole[:len(whole)-64], seals),
		"too long":   inMemory(append(whole[:len(whole):len(whole)], make([]byte, 64)...), seals),
	} {
		if got, shared := logitsOf(t, Config{Weights: set, Shared: []*os.File{f}, Concurrency: 1}); shared || got != want {
			t.Errorf("%s: shared %t, logits equal %t; want others that are equal", name, shared, got == want)
		}
	}
	if got, shared := logitsOf(t, Config{Weights: set, Shared: []*os.File{inMemory(whole, seals)}, Concurrency: 1}); !shared || got != want {
		t.Errorf("a copy: shared %t, logits equal %t; want both", shared, got == want)
	}
	if got, shared := logitsOf(t, Config{Weights: set, Shared: []*os.File{closed, onDisk, share(t, other), good}, Concurrency: 1}); !shared || got != want {
		t.Errorf("among others: shared %t, logits equal %t; want both", shared, got == want)
	}
	// Nobody can change what is shared.
	if _, err := good.WriteAt([]byte{1}, headerBytes); err == nil {
		t.Error("shared memory can be written to")
	}
	if err := good.Truncate(10); err == nil {
		t.Error("shared memory can be cut")
	}
}

func TestShareRefuses(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"no weights":     {},
		"broken weights": {Weights: &weights.Set{SHA256: "0123456789", Spec: spec.ImageNet()}},
	} {
		if f, err := Share(cfg); err == nil {
			f.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// BenchmarkShared compares the time of an image with weights of one's own, which may lie in huge pages, and shared ones.
func BenchmarkShared(b *testing.B) {
	set, err := weights.Load(testutil.Shared(b, "models", "resnet18-ktb.pth"))
	if err != nil {
		b.Fatal(err)
	}
	defer set.Close()
	f, err := Share(Config{Weights: set})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	image := tiny(b)
	for name, shared := range map[string][]*os.File{"own": nil, "shared": {f}} {
		b.Run(name, func(b *testing.B) {
			e := open(b, Config{Weights: set, Shared: shared, Concurrency: 1})
			var logits [imagenet.Classes]float32
			for b.Loop() {
				if _, err := e.Logits(context.Background(), image, logits[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
