package palette

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// colors returns a palette of random colors up to an index, and what it must give for each index.
func colors(random *rand.Rand, n int) (p Palette, want [256][3]byte) {
	p.Ramp()
	for i := range want {
		want[i] = [3]byte{byte(i), byte(i), byte(i)}
	}
	for i := range n {
		c := [3]byte{byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}
		p.Set(i, c[0], c[1], c[2])
		want[i] = c
	}
	return p, want
}

// TestLook holds every length, and that nothing beyond it is written.
func TestLook(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	p, colors := colors(random, 200)
	for n := range 40 {
		indices := make([]byte, n)
		var want []byte
		for i := range indices {
			indices[i] = byte(random.Uint32())
			want = append(want, colors[indices[i]][:]...)
		}
		memory := bytes.Repeat([]byte{77}, 3*n+16)
		p.Look(memory[:3*n], indices)
		if !bytes.Equal(memory[:3*n], want) || !bytes.Equal(memory[3*n:], bytes.Repeat([]byte{77}, 16)) {
			t.Errorf("Look of %d indices: % x, want % x and nothing beyond", n, memory, want)
		}
	}
}

// TestLookPacked holds every part of a row for every depth, after the palette has changed too.
func TestLookPacked(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	row := make([]byte, 6)
	for i := range row {
		row[i] = byte(random.Uint32())
	}
	p, colors := colors(random, 3)
	for _, depth := range []int{1, 2, 4, 1} {
		pixels := 8 * len(row) / depth
		p.Set(0, byte(depth), 5, 6)
		colors[0] = [3]byte{byte(depth), 5, 6}
		var all []byte
		for x := range pixels {
			bit := x * depth
			all = append(all, colors[row[bit/8]>>(8-depth-bit%8)&(1<<depth-1)][:]...)
		}
		for from := range pixels + 1 {
			for end := from; end <= pixels; end++ {
				n := 3 * (end - from)
				memory := bytes.Repeat([]byte{77}, n+16)
				p.LookPacked(memory[:n:n], row, depth, from, end)
				if !bytes.Equal(memory[:n], all[3*from:3*end]) || !bytes.Equal(memory[n:], bytes.Repeat([]byte{77}, 16)) {
					t.Fatalf("LookPacked of %d bits, pixels %d to %d: % x, want % x and nothing beyond", depth, from, end, memory, all[3*from:3*end])
				}
			}
		}
	}
}
