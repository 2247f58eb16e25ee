package vp8

import (
	"io"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/kernel"
)

// size of a key frame's header without its first partition: the frame tag and the size (section 9.1).
const headerBytes = 10

// Size reads the size of a picture, and checks that it is a key frame.
func Size(data []byte) (width, height int, err error) {
	if len(data) < headerBytes {
		return 0, 0, io.ErrUnexpectedEOF
	}
	if data[0]&1 != 0 {
		return 0, 0, ErrInter
	}
	if data[3] != 0x9D || data[4] != 0x01 || data[5] != 0x2A {
		return 0, 0, ErrData
	}
	dimension := func(at int) int { return int(data[at]) | int(data[at+1])&0x3F<<8 } // the upper two bits say how to show it
	return dimension(6), dimension(8), nil
}

// Macroblocks belong to one of segments, which have quantizers and filter levels of their own (section 9.3).
const segments = 4

// segmentation is the header's part about segments.
type segmentation struct {
	enabled, mapped bool
	relative        bool // to the frame's values
	quantizer       [segments]int
	level           [segments]int
	probs           [3]uint8
}

func (d *Decoder) readSegments(b *bools) {
	s := segmentation{probs: [3]uint8{255, 255, 255}}
	if s.enabled = b.flag(); s.enabled {
		s.mapped = b.flag()
		if b.flag() {
			s.relative = !b.flag()
			for i := range s.quantizer {
				s.quantizer[i] = b.optional(7)
			}
			for i := range s.level {
				s.level[i] = b.optional(6)
			}
		}
		for i := range s.probs {
			if s.mapped && b.flag() {
				s.probs[i] = uint8(b.number(8))
			}
		}
	}
	d.segmentation = s
}

// of returns a segment's value, given the frame's.
func (s *segmentation) of(values *[segments]int, segment, frame int) int {
	switch {
	case !s.enabled:
		return frame
	case s.relative:
		return frame + values[segment]
	}
	return values[segment]
}

// readFilter reads the parameters of the loop filter (section 9.6) and prepares it for each segment and kind of macroblock.
func (d *Decoder) readFilter(b *bools) {
	simple, level, sharpness := b.flag(), b.number(6), b.number(3)
	key, subblocks := 0, 0 // what is added for key frames, and for macroblocks with a mode for each subblock
	if b.flag() {
		var deltas [8]int
		if b.flag() {
			for i := range deltas {
				deltas[i] = b.optional(6)
			}
		}
		key, subblocks = deltas[0], deltas[4]
	}
	d.filter = noFilter
	if level == 0 {
		return
	}
	d.filter = normalFilter
	if simple {
		d.filter = simpleFilter
	}
	for i := range d.strengths {
		base := d.segmentation.of(&d.segmentation.level, i, level) + key
		d.strengths[i] = [2]strength{strengthOf(base, sharpness), strengthOf(base+subblocks, sharpness)}
	}
}

// readPartitions finds the partitions of coefficients, of which there are 1, 2, 4 or 8 (section 9.5). Rest begins with the sizes of all
// but the last.
func (d *Decoder) readPartitions(b *bools, rest []byte) error {
	n := 1 << b.number(2)
	sizes := 3 * (n - 1)
	if len(rest) < sizes {
		return io.ErrUnexpectedEOF
	}
	at := rest[sizes:]
	d.partitions = d.partitions[:0]
	for i := range n {
		size := len(at)
		if i < n-1 {
			size = int(rest[3*i]) | int(rest[3*i+1])<<8 | int(rest[3*i+2])<<16
		}
		if size > len(at) {
			return io.ErrUnexpectedEOF
		}
		d.partitions = append(d.partitions, newBools(at[:size]))
		at = at[size:]
	}
	return nil
}

// quantizer is the factors of a segment's blocks.
type quantizer struct{ luma, second, chroma kernel.Factors }

// readQuantizers reads the indices of quantizers (section 9.6) and looks them up.
func (d *Decoder) readQuantizers(b *bools) {
	base := b.number(7)
	var delta [5]int // luma DC; second order DC and AC; chroma DC and AC
	for i := range delta {
		delta[i] = b.optional(4)
	}
	for i := range d.quantizers {
		index := d.segmentation.of(&d.segmentation.quantizer, i, base)
		factor := func(kind, delta, most int) uint16 { return quantizers[kind][min(max(index+delta, 0), most)] }
		d.quantizers[i] = quantizer{
			luma:   kernel.Factors{factor(0, delta[0], 127), factor(1, 0, 127)},
			second: kernel.Factors{factor(0, delta[1], 127) * 2, max(uint16(uint32(factor(1, delta[2], 127))*155/100), 8)},
			chroma: kernel.Factors{factor(0, delta[3], 117), factor(1, delta[4], 127)}, // at most 132
		}
	}
}

// readHeader reads all that precedes the macroblocks (section 9).
func (d *Decoder) readHeader(data []byte) error {
	var err error
	if d.width, d.height, err = Size(data); err != nil {
		return err
	}
	first := int(data[0])>>5 | int(data[1])<<3 | int(data[2])<<11 // bytes
	rest := data[headerBytes:]
	if first > len(rest) {
		return io.ErrUnexpectedEOF
	}
	d.modes = newBools(rest[:first])
	b := &d.modes
	b.number(2) // color space and clamping, which libwebp ignores too
	d.readSegments(b)
	d.readFilter(b)
	if err := d.readPartitions(b, rest[first:]); err != nil {
		return err
	}
	d.readQuantizers(b)
	b.flag() // whether later frames have the probabilities of this one
	probs := coefficientProbs
	for kind := range probs {
		for band := range probs[kind] {
			for context := range probs[kind][band] {
				for i, update := range updateProbs[kind][band][context] {
					if b.Bit(update) == 1 {
						probs[kind][band][context][i] = uint8(b.number(8))
					}
				}
			}
		}
	}
	for kind := range probs {
		for n, band := range bands {
			d.probs[kind][n] = probs[kind][band]
		}
	}
	if d.skips = b.flag(); d.skips {
		d.skipProb = uint8(b.number(8))
	}
	if b.Short() {
		return io.ErrUnexpectedEOF
	}
	return nil
}
