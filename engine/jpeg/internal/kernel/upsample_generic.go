package kernel

func upsampleH2Generic(dst, src []byte) {
	last := len(src) - 1
	dst[0] = src[0]
	dst[1] = byte((3*int(src[0]) + int(src[1]) + 2) >> 2)
	for i := 1; i < last; i++ {
		v := 3 * int(src[i])
		dst[2*i] = byte((v + int(src[i-1]) + 1) >> 2)
		dst[2*i+1] = byte((v + int(src[i+1]) + 2) >> 2)
	}
	dst[2*last] = byte((3*int(src[last]) + int(src[last-1]) + 1) >> 2)
	dst[2*last+1] = src[last]
}

func upsampleV2Generic(dst, near, far []byte, bias int) {
	for i, v := range near {
		dst[i] = byte((3*int(v) + int(far[i]) + bias) >> 2)
	}
}

func upsampleH2V2Generic(dst, near, far []byte) {
	sum := func(i int) int { return 3*int(near[i]) + int(far[i]) }
	last := len(near) - 1
	before, here := sum(0), sum(0)
	for i := range last {
		after := sum(i + 1)
		dst[2*i] = byte((3*here + before + 8) >> 4)
		dst[2*i+1] = byte((3*here + after + 7) >> 4)
		before, here = here, after
	}
	dst[2*last] = byte((3*here + before + 8) >> 4)
	dst[2*last+1] = byte((4*here + 7) >> 4)
}
