package vp8l_test

import (
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/vp8l"
)

// writer writes bits, the lowest of a byte first.
type writer struct {
	data []byte
	n    int
}

func (w *writer) add(v uint64, n int) {
	for i := range n {
		if w.n%8 == 0 {
			w.data = append(w.data, 0)
		}
		w.data[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// noise writes n bits. Some are many ones, which are the longest codes.
func (w *writer) noise(r *rand.Rand, n int) {
	for ones := 0; n > 0; n, ones = n-1, ones-1 {
		if r.IntN(200) == 0 {
			ones = r.IntN(100)
		}
		if ones > 0 {
			w.add(1, 1)
		} else {
			w.add(r.Uint64(), 1)
		}
	}
}

// one writes a prefix code of one symbol.
func (w *writer) one(symbol int) {
	w.add(1|0<<1|1<<2, 3)
	w.add(uint64(symbol), 8)
}

// code writes a prefix code by the lengths of its symbols' codes, each in four bits.
func (w *writer) code(lengths []int) {
	w.add(0, 1)
	w.add(15, 4) // all 19 lengths of the code for lengths: 4, and none for repetitions
	for _, symbol := range []int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} {
		if symbol < 16 {
			w.add(4, 3)
		} else {
			w.add(0, 3)
		}
	}
	w.add(0, 1)
	for _, length := range lengths {
		w.add(uint64(bits.Reverse8(uint8(length))>>4), 4)
	}
}

// uniform returns lengths of n symbols, of which these have codes, of the same length. They are as many as a power of two.
func uniform(n int, symbols []int) []int {
	lengths := make([]int, n)
	for _, symbol := range symbols {
		lengths[symbol] = bits.Len(uint(len(symbols))) - 1
	}
	return lengths
}

// upTo returns the numbers below n.
func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}

// random returns lengths of n symbols, of which at least two and at most most of those that are used have codes.
func random(r *rand.Rand, n, most int, used func(symbol int) bool) []int {
	leaves := []int{1, 1} // of a tree that grows, half of the time where it is deep
	for want := 2 + r.IntN(most-1); len(leaves) < want; {
		i := len(leaves) - 1
		if r.IntN(2) == 0 {
			i = r.IntN(len(leaves))
		}
		if leaves[i] < 15 {
			leaves[i]++
			leaves = append(leaves, leaves[i])
		}
	}
	lengths := make([]int, n)
	for _, symbol := range r.Perm(n) {
		if len(leaves) > 0 && used(symbol) {
			lengths[symbol], leaves = leaves[0], leaves[1:]
		}
	}
	return lengths
}

// group writes prefix codes for pixels. Some have matches of one length, which go back little.
func (w *writer) group(r *rand.Rand, cacheBits int) {
	n := 280
	if cacheBits > 0 {
		n += 1 << cacheBits
	}
	match := 256 + r.IntN(8)
	w.code(random(r, n, []int{2, 20, n - 23}[r.IntN(3)], func(s int) bool { return s < 256 || s >= 280 || s == match }))
	constant := r.IntN(3)
	for channel := range 3 {
		if constant == 0 || constant == 1 && channel == 2 {
			w.one(r.IntN(256))
		} else {
			w.code(random(r, 256, []int{2, 20, 256}[r.IntN(3)], func(int) bool { return true }))
		}
	}
	far := []int{2, 12, 24}[r.IntN(3)]
	w.code(random(r, 40, far, func(s int) bool { return s < far }))
}

// part writes pixels of a part of a picture: of these greens, and black or of all colors in the other channels.
func (w *writer) part(r *rand.Rand, pixels int, greens []int, colors bool) {
	w.add(0, 1) // no cache
	w.code(uniform(280, greens))
	bitsEach := bits.Len(uint(len(greens))) - 1
	for channel := range 3 {
		if colors && channel < 2 {
			w.code(uniform(256, upTo(256)))
			bitsEach += 8
		} else {
			w.one(0)
		}
	}
	w.one(0)
	w.noise(r, pixels*bitsEach)
}

// picture writes a picture of noise with random transforms, caches and groups of codes.
func picture(r *rand.Rand, width, height int) []byte {
	var w writer
	w.add(0x2F, 8)
	w.add(uint64(width-1), 14)
	w.add(uint64(height-1), 14)
	w.add(1, 4)
	tiles := func(size int) int { return ((width + size - 1) / size) * ((height + size - 1) / size) }
	for _, kind := range r.Perm(4)[:r.IntN(5)] {
		w.add(1, 1)
		w.add(uint64(kind), 2)
		size := r.IntN(4)
		switch kind {
		case 0: // predictor
			w.add(uint64(size), 3)
			w.part(r, tiles(4<<size), r.Perm(14)[:8], false) // x/image takes modes 14 and 15 for nothing
		case 1: // colors
			w.add(uint64(size), 3)
			w.part(r, tiles(4<<size), upTo(256), true)
		case 3: // palette
			colors := 1 + r.IntN([]int{2, 4, 16, 256}[r.IntN(4)])
			w.add(uint64(colors-1), 8)
			w.part(r, colors, upTo(256), true)
			for bits := 3; bits > 0; bits-- {
				if colors <= 1<<(8>>bits) {
					width = (width + 1<<bits - 1) >> bits
					break
				}
			}
		}
	}
	w.add(0, 1)
	cacheBits := r.IntN(12)
	if cacheBits > 0 {
		w.add(1|uint64(cacheBits)<<1, 5)
	} else {
		w.add(0, 1)
	}
	groups := r.IntN(4) // log2
	if groups > 0 {
		size := r.IntN(4)
		w.add(1|uint64(size)<<1, 4)
		w.part(r, tiles(4<<size), upTo(1<<groups), false)
	} else {
		w.add(0, 1)
	}
	for range 1 << groups {
		w.group(r, cacheBits)
	}
	w.noise(r, 60*width*height+64)
	return w.data
}

// TestNoise compares pictures whose pixels are noise, which means something in every code, with golang.org/x/image. Some have matches that
// go back too far.
func TestNoise(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(15, 16))
	var d vp8l.Decoder
	good := 0
	for i := range 400 {
		width, height := 1+r.IntN(70), 1+r.IntN(30)
		if equalsLibrary(t, &d, picture(r, width, height)) {
			good++
		}
		if t.Failed() {
			t.Fatalf("picture %d of %dx%d", i, width, height)
		}
	}
	if t.Logf("%d pictures are good", good); good < 200 {
		t.Errorf("%d of 400 pictures are good, want half of them", good)
	}
}
