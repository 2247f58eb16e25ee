package vp8

import "github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"

// bools decodes the decisions of a partition.
type bools struct{ kernel.Bools }

func newBools(data []byte) bools { return bools{kernel.NewBools(data)} }

// flag decodes a flag, which in headers is as often false as true.
func (b *bools) flag() bool { return b.Bit(kernel.Even) == 1 }

// number decodes a number of n bits in a header.
func (b *bools) number(n int) (v int) {
	for range n {
		v = v<<1 | b.Bit(kernel.Even)
	}
	return v
}

// optional decodes a number of n bits and its sign, if a flag says that it is there.
func (b *bools) optional(n int) int {
	if !b.flag() {
		return 0
	}
	v := b.number(n)
	if b.flag() {
		return -v
	}
	return v
}

// tree decodes one of several values (section 8.1). At an even index the tree has what follows a 0 there, then what follows a 1: the
// next index, or a value, negated. Each pair has its probability.
func (b *bools) tree(tree []int8, probs []uint8) uint8 {
	i := 0
	for {
		next := tree[i+b.Bit(probs[i>>1])]
		if next <= 0 {
			return uint8(-next)
		}
		i = int(next)
	}
}
