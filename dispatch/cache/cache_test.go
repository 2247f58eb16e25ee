package cache_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/dispatch/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(n byte, model string) cache.Key { return cache.Key{Question: image(n), Model: model} }

// image returns the question for the usual classes of an image.
func image(n byte) cache.Question { return cache.Question{Digest: [32]byte{n}} }

func TestCache(t *testing.T) {
	t.Parallel()
	c := cache.New(10)
	c.Put(key(1, "a"), resnet18cloud.Result{Filename: "one"})
	if r, ok := c.Get(image(1), []string{"b", "a"}); !ok || r.Filename != "one" {
		t.Errorf("Get = %v, %t, want one", r, ok)
	}
	if _, ok := c.Get(image(1), []string{"b"}); ok {
		t.Error("a model was answered with another's result")
	}
	if _, ok := c.Get(image(1), []string{"a"}); !ok {
		t.Error("an answer was given once only")
	}
	if _, ok := c.Peek(image(1), nil); ok {
		t.Error("a result without a model to ask for")
	}
	if got, want := c.Stats(), (cache.Stats{Hits: 2, Misses: 1, Size: 1, MaxSize: 10}); got != want {
		t.Errorf("Stats = %+v, want %+v", got, want)
	}
	if n := c.Clear(); n != 1 {
		t.Errorf("Clear = %d, want 1", n)
	}
	if _, ok := c.Peek(image(1), []string{"a"}); ok {
		t.Error("a result outlived Clear")
	}
}

// TestBound checks that a cache keeps as many results as its size allows and no more; a cache of size 0 keeps none.
func TestBound(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 10} {
		c := cache.New(size)
		for n := range byte(100) {
			c.Put(key(n, "a"), resnet18cloud.Result{})
		}
		if got := c.Stats(); got.Size != size || got.MaxSize != size {
			t.Errorf("a cache of %d: %+v", size, got)
		}
		if n := c.Clear(); n != size {
			t.Errorf("Clear of a cache of %d = %d", size, n)
		}
	}
}

// TestBytesAreBounded checks that results with more than 4 KiB of text are not cached, wherever the text is. An
// element of a list counts 32 bytes besides its text.
func TestBytesAreBounded(t *testing.T) {
	t.Parallel()
	const most = 4 << 10
	for name, answer := range map[string]func(n int) resnet18cloud.Result{
		"filename":  func(n int) resnet18cloud.Result { return resnet18cloud.Result{Filename: text(n)} },
		"model":     func(n int) resnet18cloud.Result { return resnet18cloud.Result{Model: text(n)} },
		"precision": func(n int) resnet18cloud.Result { return resnet18cloud.Result{Precision: text(n)} },
		"warning":   func(n int) resnet18cloud.Result { return resnet18cloud.Result{Warning: text(n)} },
		"replica":   func(n int) resnet18cloud.Result { return resnet18cloud.Result{Replica: text(n)} },
		"all of these": func(n int) resnet18cloud.Result {
			return resnet18cloud.Result{Filename: text(n - 10), Model: text(1), Precision: text(2), Warning: text(3), Replica: text(4)}
		},
		"predictions": func(n int) resnet18cloud.Result {
			return resnet18cloud.Result{Predictions: []string{text(10), text(n - 10 - 64)}}
		},
		"scores": func(n int) resnet18cloud.Result {
			return resnet18cloud.Result{Scores: []resnet18cloud.Prediction{{Label: text(10)}, {Label: text(n - 10 - 64)}}}
		},
	} {
		c := cache.New(10)
		if c.Put(key(0, "a"), answer(most)); c.Stats().Size != 1 {
			t.Errorf("%s: an answer of 4 KiB was not kept", name)
		}
		if c.Put(key(1, "a"), answer(most+1)); c.Stats().Size != 1 {
			t.Errorf("%s: an answer of 4 KiB and a byte was kept", name)
		}
	}
}

func text(n int) string { return strings.Repeat("x", n) }
