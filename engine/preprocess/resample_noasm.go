//go:build purego || !amd64

package preprocess

func alongRows(dst, src []byte, stride, rows, rowBytes int, x *axis) {
	for y := range rows {
		alongRowGeneric(dst[y*rowStride:], src[y*stride:][:rowBytes], x, 0)
	}
}

func blend(dst *[3 * Size]byte, src []byte, weights []int32) { blendGeneric(dst, src, weights) }

func splitWeights([]int16, []int32) []int16 { return nil }
