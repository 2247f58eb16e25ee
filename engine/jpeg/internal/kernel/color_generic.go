package kernel

// ycbcrToRGBGeneric converts pixels with 16 fraction bits, each coefficient rounded and each sum rounded once:
//
//	R = Y + 1.40200 (Cr-128)
//	G = Y - 0.34414 (Cb-128) - 0.71414 (Cr-128)
//	B = Y + 1.77200 (Cb-128)
func ycbcrToRGBGeneric(dst, y, cb, cr []byte) {
	for i := range y {
		u, v := int32(cb[i])-128, int32(cr[i])-128
		luma := int32(y[i])
		p := dst[3*i : 3*i+3 : 3*i+3]
		p[0] = clamp8(luma + (91881*v+1<<15)>>16)
		p[1] = clamp8(luma + (-22554*u-46802*v+1<<15)>>16)
		p[2] = clamp8(luma + (116130*u+1<<15)>>16)
	}
}

func interleaveGeneric(dst, r, g, b []byte) {
	for i := range r {
		p := dst[3*i : 3*i+3 : 3*i+3]
		p[0], p[1], p[2] = r[i], g[i], b[i]
	}
}

func clamp8(v int32) byte { return byte(min(max(v, 0), 255)) }
