package kernel

// filterEdgeGeneric filters n places of an edge: the samples before it are at pix[at-step], pix[at-2*step] and so on, those behind it at
// pix[at], pix[at+step]; the places are along apart. Limit is that of the difference across the edge. Outer edges are those of
// macroblocks, where more samples change.
func filterEdgeGeneric(pix []byte, at, n, along, step int, limit int, s *Strength, outer bool) {
	for ; n > 0; n, at = n-1, at+along {
		p3, p2, p1, p0 := int(pix[at-4*step]), int(pix[at-3*step]), int(pix[at-2*step]), int(pix[at-step])
		q0, q1, q2, q3 := int(pix[at]), int(pix[at+step]), int(pix[at+2*step]), int(pix[at+3*step])
		interior := int(s.Interior)
		if 2*distance(p0, q0)+distance(p1, q1)/2 > limit ||
			distance(p3, p2) > interior || distance(p2, p1) > interior || distance(p1, p0) > interior ||
			distance(q3, q2) > interior || distance(q2, q1) > interior || distance(q1, q0) > interior {
			continue
		}
		sharp := max(distance(p1, p0), distance(q1, q0)) > int(s.Threshold)
		switch {
		case sharp:
			filterTwo(pix, at, step, p1, p0, q0, q1)
		case outer:
			w := clipSigned(3*(q0-p0) + clipSigned(p1-q1))
			a0, a1, a2 := (27*w+63)>>7, (18*w+63)>>7, (9*w+63)>>7
			pix[at-3*step], pix[at-2*step], pix[at-step] = clip(p2+a2), clip(p1+a1), clip(p0+a0)
			pix[at], pix[at+step], pix[at+2*step] = clip(q0-a0), clip(q1-a1), clip(q2-a2)
		default:
			w := 3 * (q0 - p0)
			a, b := clipSigned(w+4)>>3, clipSigned(w+3)>>3
			c := (a + 1) >> 1
			pix[at-2*step], pix[at-step] = clip(p1+c), clip(p0+b)
			pix[at], pix[at+step] = clip(q0-a), clip(q1-c)
		}
	}
}

// filterTwo changes the samples beside an edge.
func filterTwo(pix []byte, at, step, p1, p0, q0, q1 int) {
	w := 3*(q0-p0) + clipSigned(p1-q1)
	pix[at-step], pix[at] = clip(p0+clipSigned(w+3)>>3), clip(q0-clipSigned(w+4)>>3)
}

// filterSimpleGeneric filters 16 places of an edge in the simple way.
func filterSimpleGeneric(pix []byte, at, along, step, limit int) {
	for n := 16; n > 0; n, at = n-1, at+along {
		p1, p0, q0, q1 := int(pix[at-2*step]), int(pix[at-step]), int(pix[at]), int(pix[at+step])
		if 2*distance(p0, q0)+distance(p1, q1)/2 <= limit {
			filterTwo(pix, at, step, p1, p0, q0, q1)
		}
	}
}

func filterLumaGeneric(pix []byte, at, stride int, s *Strength, left, top bool) {
	filterBlockGeneric(pix, at, stride, 16, s, left, top)
}

func filterChromaGeneric(u, v []byte, at, stride int, s *Strength, left, top bool) {
	filterBlockGeneric(u, at, stride, 8, s, left, top)
	filterBlockGeneric(v, at, stride, 8, s, left, top)
}

// filterBlockGeneric filters a macroblock's part of a plane: the vertical edges, then the horizontal ones.
func filterBlockGeneric(pix []byte, at, stride, size int, s *Strength, left, top bool) {
	edges := func(first bool, along, step int) {
		if first {
			filterEdgeGeneric(pix, at, size, along, step, int(s.Limit)+4, s, true)
		}
		for i := 4; s.Inner && i < size; i += 4 {
			filterEdgeGeneric(pix, at+i*step, size, along, step, int(s.Limit), s, false)
		}
	}
	edges(left, stride, 1)
	edges(top, 1, stride)
}

func filterSimpleBlockGeneric(pix []byte, at, stride int, s *Strength, left, top bool) {
	edges := func(first bool, along, step int) {
		if first {
			filterSimpleGeneric(pix, at, along, step, int(s.Limit)+4)
		}
		for i := 4; s.Inner && i < 16; i += 4 {
			filterSimpleGeneric(pix, at+i*step, along, step, int(s.Limit))
		}
	}
	edges(left, stride, 1)
	edges(top, 1, stride)
}

func distance(a, b int) int { return max(a-b, b-a) }

func clip(v int) byte { return byte(min(max(v, 0), 255)) }

// clipSigned clips to eight bits with sign.
func clipSigned(v int) int { return min(max(v, -128), 127) }
