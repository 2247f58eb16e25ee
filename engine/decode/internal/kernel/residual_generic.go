package kernel

// transformGeneric follows libwebp's order of operations: columns first, a product of 16 bits loses the lower 16.
func transformGeneric(samples *[3*Stride + 4]byte, coefs *Block) {
	const (
		sine   = 35468 - 1<<16 // sqrt(2) sin(pi/8), less 1
		cosine = 20091         // sqrt(2) cos(pi/8), less 1
	)
	times := func(v int16, factor int32) int16 { return v + int16(int32(v)*factor>>16) }
	butterfly := func(c0, c1, c2, c3 int16) (v0, v1, v2, v3 int16) {
		a, b := c0+c2, c0-c2
		c, d := times(c1, sine)-times(c3, cosine), times(c1, cosine)+times(c3, sine)
		return a + d, b + c, b - c, a - d
	}
	var m [16]int16
	for i := range 4 {
		m[i], m[4+i], m[8+i], m[12+i] = butterfly(coefs[i], coefs[4+i], coefs[8+i], coefs[12+i])
	}
	for y := range 4 {
		v0, v1, v2, v3 := butterfly(m[4*y]+4, m[4*y+1], m[4*y+2], m[4*y+3])
		p := samples[y*Stride : y*Stride+4]
		p[0], p[1] = clip(int(p[0])+int(v0>>3)), clip(int(p[1])+int(v1>>3))
		p[2], p[3] = clip(int(p[2])+int(v2>>3)), clip(int(p[3])+int(v3>>3))
	}
}

func trueMotionGeneric(samples []byte, size int) {
	corner := int(samples[0])
	above := samples[1 : size+1]
	for y := range size {
		row := samples[(y+1)*Stride:][:size+1]
		left := int(row[0]) - corner
		for x, v := range above {
			row[x+1] = clip(int(v) + left)
		}
	}
}
