package jpeg

// Decisions reads n arithmetic-coded decisions about one question from bytes of a file. They are the bits that it returns.
func Decisions(data []byte, n int) []byte {
	data, _ = unstuff(nil, data)
	d := startDecisions(append(data, 0, 0, 0))
	bits := make([]byte, (n+7)/8)
	var bin uint8
	for i := range n {
		if d.decide(&bin) {
			bits[i/8] |= 0x80 >> (i % 8)
		}
	}
	return bits
}
