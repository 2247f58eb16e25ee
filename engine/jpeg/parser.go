package jpeg

// Markers (T.81, table B.1).
const (
	markerTEM   = 0x01
	markerSOF0  = 0xC0 // baseline
	markerSOF1  = 0xC1 // extended sequential
	markerSOF2  = 0xC2 // progressive
	markerDHT   = 0xC4
	markerSOF9  = 0xC9 // extended sequential, arithmetic coding
	markerSOF10 = 0xCA // progressive, arithmetic coding
	markerDAC   = 0xCC
	markerSOF15 = 0xCF
	markerRST0  = 0xD0
	markerRST7  = 0xD7
	markerSOI   = 0xD8
	markerEOI   = 0xD9
	markerSOS   = 0xDA
	markerDQT   = 0xDB
	markerDNL   = 0xDC
	markerDRI   = 0xDD
	markerAPP0  = 0xE0
	markerAPP14 = 0xEE
	markerAPP15 = 0xEF
	markerCOM   = 0xFE
)

// zigzag maps the order in the file to the natural, row by row order (T.81, figure A.6).
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
}

// parser reads marker segments and keeps what they define.
type parser struct {
	data []byte
	pos  int // next byte of data

	frame    frame
	hasFrame bool
	scan     scan // the latest scan header

	quant    [4][64]uint16 // by table number, in natural order
	hasQuant [4]bool
	dc, ac   [4][]byte  // Huffman tables by number: 16 counts and the symbols, nil if not defined
	dcRange  [4]dcRange // by table number, in arithmetic-coded files
	acLow    [4]uint8   // the same: the last coefficient of low frequency
	restart  int        // MCUs in a restart interval, 0 for none

	jfif           bool
	adobe          bool
	adobeTransform byte
}

// scan is the content of a scan header (T.81, B.2.3).
type scan struct {
	n      int
	comp   [4]int  // index of the component in the frame
	td, ta [4]byte // Huffman tables to use
	ss, se int     // first and last coefficient in zig-zag order
	ah, al int     // successive approximation: bit position before and now
}

// newParser returns a parser of a file held in data.
func newParser(data []byte) parser {
	p := parser{data: data}
	for i := range p.dcRange {
		p.dcRange[i], p.acLow[i] = dcRange{upper: 1}, 5 // until a DAC segment (T.81, F.1.4.4)
	}
	return p
}

func (p *parser) invalid(reason string) error {
	return FormatError{Offset: p.pos, Reason: reason}
}

func (p *parser) truncated() error {
	return FormatError{Offset: len(p.data), Reason: "the data ends too early", Truncated: true}
}

// readUntilFrame reads up to and including the frame header.
func (p *parser) readUntilFrame() error {
	if len(p.data) < 2 {
		return p.truncated()
	}
	if p.data[0] != 0xFF || p.data[1] != markerSOI {
		return p.invalid("no SOI marker at the start")
	}
	p.pos = 2
	for !p.hasFrame {
		marker, err := p.nextMarker()
		if err != nil {
			return err
		}
		if marker == markerSOS || marker == markerEOI {
			return p.invalid("no frame header before the first scan")
		}
		if err := p.readSegment(marker); err != nil {
			return err
		}
	}
	return nil
}

// readUntilScan reads up to and including the first scan header.
func (p *parser) readUntilScan() error {
	if err := p.readUntilFrame(); err != nil {
		return err
	}
	more, err := p.nextScan()
	if err == nil && !more {
		err = p.invalid("no scan in the file")
	}
	return err
}

// nextScan reads up to and including the next scan header. It returns false at the end of the picture.
func (p *parser) nextScan() (bool, error) {
	for {
		marker, err := p.nextMarker()
		if err != nil {
			return false, err
		}
		switch marker {
		case markerEOI:
			return false, nil
		case markerSOS:
			return true, p.readScanHeader()
		}
		if err := p.readSegment(marker); err != nil {
			return false, err
		}
	}
}

// nextMarker finds the next marker. Like libjpeg it skips bytes that belong to no segment.
func (p *parser) nextMarker() (byte, error) {
	for i := p.pos; i+1 < len(p.data); i++ {
		if p.data[i] == 0xFF && p.data[i+1] != 0xFF && p.data[i+1] != 0 {
			p.pos = i + 2
			return p.data[i+1], nil
		}
	}
	return 0, p.truncated()
}

// readSegment reads one segment other than a scan.
func (p *parser) readSegment(marker byte) error {
	switch {
	case marker == markerTEM, markerRST0 <= marker && marker <= markerRST7:
		return nil // these have no contents
	case marker == markerSOI:
		return p.invalid("second SOI marker")
	case marker < markerSOF0, marker > markerAPP15 && marker != markerCOM:
		return p.invalid("unknown marker")
	}
	if marker >= markerAPP0 && len(p.data)-p.pos >= 2 && be16(p.data[p.pos:]) < 2 {
		p.pos += 2 // nothing there to read, so libjpeg does not mind that the length is too small to count itself
		return nil
	}
	body, err := p.segment()
	if err != nil {
		return err
	}
	switch {
	case marker == markerDHT:
		err = p.readHuffman(body)
	case marker == markerDQT:
		err = p.readQuant(body)
	case marker == markerDRI:
		if len(body) != 2 {
			return p.invalid("restart interval of wrong length")
		}
		p.restart = be16(body)
	case marker == markerAPP0:
		p.jfif = p.jfif || len(body) >= 14 && string(body[:5]) == "JFIF\x00"
	case marker == markerAPP14:
		if len(body) >= 12 && string(body[:5]) == "Adobe" {
			p.adobe, p.adobeTransform = true, body[11]
		}
	case marker == markerDAC:
		err = p.readConditioning(body)
	case marker <= markerSOF15:
		err = p.readFrame(marker, body)
	}
	return err
}

// segment returns the contents of the segment at pos and moves pos past it.
func (p *parser) segment() ([]byte, error) {
	rest := p.data[p.pos:]
	if len(rest) < 2 {
		return nil, p.truncated()
	}
	n := be16(rest)
	if n < 2 {
		return nil, p.invalid("segment shorter than its length field")
	}
	if n > len(rest) {
		return nil, p.truncated()
	}
	p.pos += n
	return rest[2:n], nil
}

// readFrame reads a frame header (T.81, B.2.2).
func (p *parser) readFrame(marker byte, b []byte) error {
	switch {
	case marker > markerSOF2 && marker != markerSOF9 && marker != markerSOF10:
		return UnsupportedError{Feature: "lossless or hierarchical process"}
	case p.hasFrame:
		return p.invalid("second frame header")
	case len(b) < 6 || len(b) != 6+3*int(b[5]):
		return p.invalid("frame header of wrong length")
	case b[0] != 8:
		return UnsupportedError{Feature: "samples of other than 8 bits"}
	}
	f := &p.frame
	f.progressive = marker == markerSOF2 || marker == markerSOF10
	f.arithmetic = marker >= markerSOF9
	f.height, f.width, f.n = be16(b[1:]), be16(b[3:]), int(b[5])
	switch {
	case f.height == 0 && f.width > 0:
		return UnsupportedError{Feature: "height given after the picture"}
	case f.height == 0 || f.width == 0 || f.n == 0:
		return p.invalid("empty picture")
	case f.height > maxDimension || f.width > maxDimension:
		return UnsupportedError{Feature: "more than 65500 pixels in a row or column"}
	case f.n != 1 && f.n != 3 && f.n != 4:
		return UnsupportedError{Feature: "other than 1, 3 or 4 components"}
	}
	for i := range f.comps() {
		spec := b[6+3*i:]
		c := component{id: spec[0], h: int(spec[1] >> 4), v: int(spec[1] & 15), tq: spec[2]}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return p.invalid("sampling factor outside 1 to 4")
		}
		for k := range c.progress {
			c.progress[k] = -1
		}
		f.component[i] = c
	}
	p.hasFrame = true
	return nil
}

// readQuant reads quantization tables (T.81, B.2.4.1).
func (p *parser) readQuant(b []byte) error {
	for len(b) > 0 {
		wide, id := int(b[0]>>4), b[0]&15
		size := 64 * (1 + wide)
		if wide > 1 || id > 3 || len(b) < 1+size {
			return p.invalid("malformed quantization table")
		}
		for k, z := range zigzag {
			if wide == 1 {
				p.quant[id][z] = uint16(be16(b[1+2*k:]))
			} else {
				p.quant[id][z] = uint16(b[1+k])
			}
		}
		p.hasQuant[id] = true
		b = b[1+size:]
	}
	return nil
}

// readHuffman reads Huffman tables (T.81, B.2.4.2). They are checked and prepared when a scan uses them.
func (p *parser) readHuffman(b []byte) error {
	for len(b) > 0 {
		class, id := b[0]>>4, b[0]&15
		if class > 1 || id > 3 || len(b) < 17 {
			return p.invalid("malformed Huffman table")
		}
		n := 0
		for _, count := range b[1:17] {
			n += int(count)
		}
		if n > 256 || len(b) < 17+n {
			return p.invalid("malformed Huffman table")
		}
		if class == 0 {
			p.dc[id] = b[1 : 17+n]
		} else {
			p.ac[id] = b[1 : 17+n]
		}
		b = b[17+n:]
	}
	return nil
}

// readConditioning reads what statistics of arithmetic coding depend on (T.81, B.2.4.3).
func (p *parser) readConditioning(b []byte) error {
	for ; len(b) > 0; b = b[2:] {
		if len(b) < 2 || b[0]>>4 > 1 || b[0]&15 > 3 {
			return p.invalid("malformed arithmetic conditioning")
		}
		id, v := b[0]&15, b[1]
		if b[0]>>4 == 1 {
			p.acLow[id] = v
			continue
		}
		r := dcRange{lower: v & 15, upper: v >> 4}
		if r.lower > r.upper {
			return p.invalid("malformed arithmetic conditioning")
		}
		p.dcRange[id] = r
	}
	return nil
}

// readScanHeader reads a scan header (T.81, B.2.3) and checks it against the frame.
func (p *parser) readScanHeader() error {
	b, err := p.segment()
	if err != nil {
		return err
	}
	if len(b) < 1 || b[0] < 1 || b[0] > 4 || len(b) != 4+2*int(b[0]) {
		return p.invalid("malformed scan header")
	}
	f := &p.frame
	s := scan{n: int(b[0])}
	blocks := 0
	for i := range s.n {
		id, tables := b[1+2*i], b[2+2*i]
		at := f.find(id, s.comp[:i])
		if at < 0 || tables>>4 > 3 || tables&15 > 3 {
			return p.invalid("scan of an unknown component or table")
		}
		s.comp[i], s.td[i], s.ta[i] = at, tables>>4, tables&15
		blocks += f.component[at].h * f.component[at].v
	}
	if s.n > 1 && blocks > 10 {
		return p.invalid("more than 10 blocks in an MCU")
	}
	end := b[len(b)-3:]
	s.ss, s.se, s.ah, s.al = int(end[0]), int(end[1]), int(end[2]>>4), int(end[2]&15)
	if !f.progressive {
		s.ss, s.se, s.ah, s.al = 0, 63, 0, 0 // like libjpeg, whatever the header says
	}
	p.scan = s
	return p.latchQuant()
}

// latchQuant copies the quantization tables of components whose first scan begins: a later DQT does not change them.
func (p *parser) latchQuant() error {
	for _, i := range p.scan.comp[:p.scan.n] {
		c := &p.frame.component[i]
		if c.seen {
			continue
		}
		if c.tq > 3 || !p.hasQuant[c.tq] {
			return p.invalid("quantization table not defined")
		}
		c.quant = p.quant[c.tq]
	}
	return nil
}

func be16(b []byte) int { return int(b[0])<<8 | int(b[1]) }
