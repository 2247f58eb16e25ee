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

// alongRows resizes rows along their length. src begins with pixel x.first of the first row; rows are stride bytes
// apart, and rowBytes of each may be read. The results' rows lie rowStride apart in dst.
func alongRows(dst, src []byte, stride, rows, rowBytes int, x *axis) {
	pixels := 0 // how many of each row vectors make
	if vectors && rows > 1 {
		pixels = vectorPixels(rowBytes, x)
	}
	if pixels > 0 {
		_, _ = dst[rows*rowStride-1], src[(rows-1)*stride+rowBytes-1]
		for y := 0; y < rows; y += 2 {
			y = min(y, rows-2) // a last row without partner goes with the one before it, which is done twice
			alongRowPairAVX2(&dst[y*rowStride], &src[y*stride], &src[(y+1)*stride],
				&x.from[0], &x.split[0], x.taps/tapGroup, pixels)
		}
	}
	if pixels < Size {
		for y := range rows {
			alongRowGeneric(dst[y*rowStride:], src[y*stride:][:rowBytes], x, pixels)
		}
	}
}

// vectorPixels is how many output pixels can be made by vectors, which load 16 bytes to use 12 of them, without
// reading beyond the row. The others are at its end: few, and none unless the picture is enlarged.
func vectorPixels(rowBytes int, x *axis) int {
	reach := 3*x.taps + 4
	return sort.Search(Size, func(i int) bool { return 3*int(x.from[i])+reach > rowBytes })
}

// blend is blendGeneric.
func blend(dst *[3 * Size]byte, src []byte, weights []int32) {
	if !vectors {
		blendGeneric(dst, src, weights)
		return
	}
	_ = src[(len(weights)-1)*rowStride+3*Size-1]
	blendAVX2(&dst[0], &src[0], &weights[0], len(weights))
}

// splitWeights cuts each weight, of 23 bits, in two parts for 16-bit multiplication, w = high*256 + low. For each
// tapGroup weights it writes the low parts, then the high ones.
func splitWeights(split []int16, weights []int32) []int16 {
	split = slices.Grow(split[:0], 2*len(weights))[:2*len(weights)]
	for i := 0; i < len(weights); i += tapGroup {
		for t, w := range weights[i : i+tapGroup] {
			split[2*i+t], split[2*i+tapGroup+t] = int16(w&255), int16(w>>8)
		}
	}
	return split
}
