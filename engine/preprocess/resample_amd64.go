//go:build !purego

package preprocess

import (
	"slices"
	"sort"

	"github.com/resnet18cloud/resnet18cloud/engine/internal/cpu"
)

// vectors chooses the AVX2 forms, which every level of amd64 but the generic one has. A level in RESNET18_CPU that
// this CPU lacks is reported when an engine is created.
var vectors = func() bool {
	level, err := cpu.Best()
	return err == nil && level >= cpu.AVX2
}()

// alongRows resizes rows along their length. src begins with pixel x.first of the first row; rows are srcStride bytes
// apart, and rowBytes of each may be read. The results' rows lie stride apart in dst.
func alongRows(dst []byte, stride int, src []byte, srcStride, rows, rowBytes int, x *axis) {
	pixels := 0 // how many of each row vectors make
	if vectors && rows > 1 {
		pixels = vectorPixels(rowBytes, x)
	}
	if pixels > 0 {
		_, _ = dst[rows*stride-1], src[(rows-1)*srcStride+rowBytes-1]
		kernel, each := alongTwoRowsAVX2, 2
		if rows >= 4 {
			kernel, each = alongFourRowsAVX2, 4
		}
		for y := 0; y < rows; y += each {
			y = min(y, rows-each) // rows that are too few go with those before them, which are done twice
			kernel(&dst[y*stride], stride, &src[y*srcStride], srcStride, &x.from[0], &x.split[0], x.taps/2, pixels)
		}
	}
	if pixels < len(x.from) {
		for y := range rows {
			alongRowGeneric(dst[y*stride:], src[y*srcStride:][:rowBytes], x, pixels)
		}
	}
}

// vectorPixels is how many output pixels can be made by vectors, which load 16 bytes to use 12 of them, without
// reading beyond the row. The others are at its end: few, and none unless the picture is enlarged.
func vectorPixels(rowBytes int, x *axis) int {
	reach := 3*x.taps + 4
	return sort.Search(len(x.from), func(i int) bool { return 3*int(x.from[i])+reach > rowBytes })
}

// blend is blendGeneric. Rows have a multiple of 32 bytes.
func blend(dst, src []byte, stride int, weights []int32) {
	if !vectors {
		blendGeneric(dst, src, stride, weights)
		return
	}
	_ = src[(len(weights)-1)*stride+len(dst)-1]
	blendAVX2(&dst[0], len(dst)/32, &src[0], stride, &weights[0], len(weights))
}

// splitWeights cuts each weight, of 23 bits, in two parts for 16-bit multiplication, w = high*256 + low. Each output pixel has
// taps weights, in groups of tapGroup; if that leaves two, they are the first group. For each group it writes the low parts, then
// the high ones.
func splitWeights(split []int16, weights []int32, taps int) []int16 {
	split = slices.Grow(split[:0], 2*len(weights))
	for i := 0; i < len(weights); i += taps {
		for rest := weights[i : i+taps]; len(rest) > 0; {
			n := tapGroup
			if len(rest)%tapGroup != 0 {
				n = len(rest) % tapGroup
			}
			for _, w := range rest[:n] {
				split = append(split, int16(w&255))
			}
			for _, w := range rest[:n] {
				split = append(split, int16(w>>8))
			}
			rest = rest[n:]
		}
	}
	return split
}
