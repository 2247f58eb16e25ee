package kernel

// yuvToRGBGeneric is the conversion of BT.601 with 14 fraction bits, of which 8 are dropped from each product.
func yuvToRGBGeneric(dst, y, u, v []byte) {
	for i := range y {
		luma, u, v := int32(y[i])*19077>>8, int32(u[i]), int32(v[i])
		p := dst[3*i : 3*i+3 : 3*i+3]
		p[0] = clip14(luma + v*26149>>8 - 14234)
		p[1] = clip14(luma - u*6419>>8 - v*13320>>8 + 8708)
		p[2] = clip14(luma + u*33050>>8 - 17685)
	}
}

// clip14 drops the 6 fraction bits that are left and clips to a byte.
func clip14(v int32) byte { return byte(min(max(v>>6, 0), 255)) }

// upsampleGeneric makes the inner samples: two between each two columns. The four samples around one are weighted 9:3:3:1,
// which libwebp rounds in two steps.
func upsampleGeneric(dst, near, far []byte) {
	for i := range len(near) - 1 {
		a, b, c, d := int(near[i]), int(near[i+1]), int(far[i]), int(far[i+1])
		all := a + b + c + d + 8
		dst[2*i] = byte(((all+2*(b+c))>>3 + a) >> 1)
		dst[2*i+1] = byte(((all+2*(a+d))>>3 + b) >> 1)
	}
}
