package kernel

// The inverse DCT is the accurate integer one of libjpeg ("islow"): the algorithm of C. Loeffler, A. Ligtenberg and
// G. Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications" (ICASSP 1989), on columns and then on
// rows, in 13-bit fixed point. Rounding and, for coefficients far outside of what an encoder writes, wrapping and
// saturation are those of libjpeg-turbo's SIMD code, which is what runs on today's machines: products with the
// quantization table and the sums before a multiplication keep 16 bits, results of a pass saturate.
const (
	constBits = 13 // fraction bits of the constants
	passBits  = 2  // extra fraction bits kept between the passes

	fix0_298631336 = 2446
	fix0_390180644 = 3196
	fix0_541196100 = 4433
	fix0_765366865 = 6270
	fix0_899976223 = 7373
	fix1_175875602 = 9633
	fix1_501321110 = 12299
	fix1_847759065 = 15137
	fix1_961570560 = 16069
	fix2_053119869 = 16819
	fix2_562915447 = 20995
	fix3_072711026 = 25172
)

// inverseDCTGeneric dequantizes a block and writes its 8x8 samples to dst, whose rows are stride bytes apart.
func inverseDCTGeneric(dst []byte, stride int, block *Block, quant *[64]uint16) {
	var ws [64]int16 // after the first pass, with passBits fraction bits and a factor of sqrt(8)
	var ac int16
	for i := 8; i < 64; i++ {
		ac |= block[i]
	}
	for x := range 8 {
		var in [8]int16
		for y := range 8 {
			in[y] = block[8*y+x] * int16(quant[8*y+x])
		}
		if ac == 0 {
			dc := in[0] << passBits
			for y := range 8 {
				ws[8*y+x] = dc
			}
			continue
		}
		out := transform(&in, constBits-passBits)
		for y := range 8 {
			ws[8*y+x] = saturate16(out[y])
		}
	}
	for y := range 8 {
		out := transform((*[8]int16)(ws[8*y:]), constBits+passBits+3)
		row := (*[8]byte)(dst[y*stride:])
		for x := range 8 {
			row[x] = byte(min(max(out[x], -128), 127) + 128)
		}
	}
}

// transform is the one-dimensional inverse DCT of in times sqrt(8), shifted down by shift bits with rounding.
func transform(in *[8]int16, shift int) [8]int32 {
	// Even part.
	z2, z3 := int32(in[2]), int32(in[6])
	even2 := z2*fix0_541196100 + z3*(fix0_541196100-fix1_847759065)
	even3 := z2*(fix0_541196100+fix0_765366865) + z3*fix0_541196100
	even0 := int32(in[0]+in[4]) << constBits
	even1 := int32(in[0]-in[4]) << constBits
	t10, t13 := even0+even3, even0-even3
	t11, t12 := even1+even2, even1-even2

	// Odd part.
	o0, o1, o2, o3 := int32(in[7]), int32(in[5]), int32(in[3]), int32(in[1])
	s3, s4 := int32(in[7]+in[3]), int32(in[5]+in[1])
	z3 = s3*(fix1_175875602-fix1_961570560) + s4*fix1_175875602
	z4 := s3*fix1_175875602 + s4*(fix1_175875602-fix0_390180644)
	t0 := o0*(fix0_298631336-fix0_899976223) - o3*fix0_899976223 + z3
	t1 := o1*(fix2_053119869-fix2_562915447) - o2*fix2_562915447 + z4
	t2 := o2*(fix3_072711026-fix2_562915447) - o1*fix2_562915447 + z3
	t3 := o3*(fix1_501321110-fix0_899976223) - o0*fix0_899976223 + z4

	half := int32(1) << (shift - 1)
	return [8]int32{
		(t10 + t3 + half) >> shift,
		(t11 + t2 + half) >> shift,
		(t12 + t1 + half) >> shift,
		(t13 + t0 + half) >> shift,
		(t13 - t0 + half) >> shift,
		(t12 - t1 + half) >> shift,
		(t11 - t2 + half) >> shift,
		(t10 - t3 + half) >> shift,
	}
}

func saturate16(v int32) int16 { return int16(min(max(v, -1<<15), 1<<15-1)) }
