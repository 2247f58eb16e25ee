//go:build purego || !amd64

package preprocess

func alongRows(dst []byte, stride int, src []byte, srcStride, rows, rowBytes int, x *axis) {
	for y := range rows {
		alongRowGeneric(dst[y*stride:], src[y*srcStride:][:rowBytes], x, 0)
	}
}

func blend(dst, src []byte, stride int, weights []int32) { blendGeneric(dst, src, stride, weights) }

func splitWeights([]int16, []int32, int) []int16 { return nil }
