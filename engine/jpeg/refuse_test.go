package jpeg_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/jpeg"
)

// segment returns a marker segment.
func segment(marker byte, body ...byte) []byte {
	n := len(body) + 2
	return append([]byte{0xFF, marker, byte(n >> 8), byte(n)}, body...)
}

// oneCode returns a Huffman table (0x10 added to its number for AC) whose only code is a zero bit.
func oneCode(table, symbol byte) []byte {
	return segment(0xC4, slices.Concat([]byte{table, 1}, make([]byte, 15), []byte{symbol})...)
}

// TestRules checks what of the standard is enforced, and up to where, with files of one or two blocks made here.
func TestRules(t *testing.T) {
	t.Parallel()
	const valid = ""
	ones := bytes.Repeat([]byte{1}, 64)
	soi, eoi := []byte{0xFF, 0xD8}, []byte{0xFF, 0xD9}
	quant := segment(0xDB, append([]byte{0}, ones...)...)
	tables := slices.Concat(oneCode(0, 0), oneCode(0x10, 0))
	frame := func(marker byte, components ...byte) []byte { // 8x8
		return segment(marker, append([]byte{8, 0, 8, 0, 8, byte(len(components) / 3)}, components...)...)
	}
	scan := func(header, data []byte) []byte { return slices.Concat(segment(0xDA, header...), data) }
	of := func(last ...byte) []byte { return append([]byte{1, 1, 0}, last...) } // of component 1 with tables 0
	zeros := []byte{0}
	dc := scan(of(0, 0, 0), zeros)
	gray := frame(0xC0, 1, 0x11, 0)
	baseline := func(parts ...[]byte) []byte {
		return slices.Concat(soi, quant, tables, gray, slices.Concat(parts...), eoi)
	}
	progressive := func(parts ...[]byte) []byte {
		return slices.Concat(soi, quant, tables, frame(0xC2, 1, 0x11, 0), slices.Concat(parts...), eoi)
	}
	whole := scan(of(0, 63, 0), zeros)
	before := func(segments ...byte) []byte { return slices.Concat(soi, segments, quant, tables, gray, whole, eoi) }
	wide := func(parts ...[]byte) []byte { // two blocks
		return slices.Concat(soi, quant, tables, segment(0xC0, 8, 0, 8, 0, 16, 1, 1, 0x11, 0), slices.Concat(parts...), eoi)
	}
	arithmetic := func(marker byte, width, height int, parts ...[]byte) []byte {
		return slices.Concat(soi, quant, segment(marker, 8, byte(height>>8), byte(height), byte(width>>8), byte(width), 1, 1, 0x11, 0),
			slices.Concat(parts...), eoi)
	}
	// No difference and no coefficient, and no coefficient only, however many blocks there are. (No difference only: no data.)
	flat, ends := []byte{0x1E, 0xB7, 0x80}, []byte{0xA5, 0xE3}
	overlong := []byte{0x4B, 0xC6} // 63 zeros, and not the end
	three := frame(0xC0, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0)

	for name, test := range map[string]struct {
		file []byte
		want string // part of the error
	}{
		"baseline":    {baseline(whole), valid},
		"progressive": {progressive(dc), valid},

		"no SOI":               {baseline(whole)[2:], "no SOI marker"},
		"two other bytes":      {[]byte("no"), "no SOI marker"},
		"second SOI":           {before(soi...), "second SOI"},
		"marker below SOF":     {before(segment(0xBF)...), "unknown marker"},
		"marker above APP15":   {before(segment(0xF0)...), "unknown marker"},
		"COM":                  {before(segment(0xFE, 7)...), valid},
		"APP15":                {before(segment(0xEF, 7)...), valid},
		"APP0 without a name":  {before(segment(0xE0)...), valid},
		"APP14 without a name": {before(segment(0xEE)...), valid},
		"TEM":                  {before(0xFF, 0x01), valid},
		"RST0 and RST7":        {before(0xFF, 0xD0, 0xFF, 0xD7), valid},
		"APP0 of length 1":     {before(0xFF, 0xE0, 0, 1), valid},
		"COM of length 0":      {before(0xFF, 0xFE, 0, 0), valid},
		"DRI of length 1":      {before(0xFF, 0xDD, 0, 1), "shorter than its length"},
		"scan before frame":    {slices.Concat(soi, quant, tables, whole, eoi), "no frame header"},
		"end before frame":     {slices.Concat(soi, quant, tables, eoi), "no frame header"},
		"no scan":              {baseline(), "no scan"},

		"second frame":        {baseline(gray, whole), "second frame header"},
		"frame too short":     {slices.Concat(soi, segment(0xC0, 8, 0, 8, 0, 8), eoi), "frame header of wrong length"},
		"frame too long":      {slices.Concat(soi, segment(0xC0, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, 0), eoi), "frame header of wrong length"},
		"12 bits":             {slices.Concat(soi, segment(0xC1, 12, 0, 8, 0, 8, 1, 1, 0x11, 0), eoi), "other than 8 bits"},
		"no width":            {slices.Concat(soi, segment(0xC0, 8, 0, 8, 0, 0, 1, 1, 0x11, 0), eoi), "empty picture"},
		"no height":           {slices.Concat(soi, segment(0xC0, 8, 0, 0, 0, 8, 1, 1, 0x11, 0), eoi), "height given after"},
		"no size":             {slices.Concat(soi, segment(0xC0, 8, 0, 0, 0, 0, 1, 1, 0x11, 0), eoi), "empty picture"},
		"no components":       {slices.Concat(soi, frame(0xC0), eoi), "empty picture"},
		"two components":      {slices.Concat(soi, frame(0xC0, 1, 0x11, 0, 2, 0x11, 0), eoi), "1, 3 or 4 components"},
		"sampling of 0 wide":  {slices.Concat(soi, frame(0xC0, 1, 0x01, 0), eoi), "sampling factor"},
		"sampling of 0 high":  {slices.Concat(soi, frame(0xC0, 1, 0x10, 0), eoi), "sampling factor"},
		"sampling of 5 wide":  {slices.Concat(soi, frame(0xC0, 1, 0x51, 0), eoi), "sampling factor"},
		"sampling of 5 high":  {slices.Concat(soi, frame(0xC0, 1, 0x15, 0), eoi), "sampling factor"},
		"lossless":            {slices.Concat(soi, frame(0xC3, 1, 0x11, 0), eoi), "lossless"},
		"lossless arithmetic": {slices.Concat(soi, frame(0xCB, 1, 0x11, 0), eoi), "lossless"},
		"hierarchical":        {slices.Concat(soi, frame(0xC5, 1, 0x11, 0), eoi), "lossless or hierarchical"},
		"DAC with no content": {before(segment(0xCC)...), valid},
		"DAC of DC and AC":    {before(segment(0xCC, 0x03, 0x10, 0x13, 0xFF)...), valid},
		"DAC, one more":       {before(segment(0xCC, 0x00, 0x10, 0x10)...), "malformed arithmetic conditioning"},
		"DAC class 2":         {before(segment(0xCC, 0x20, 0x10)...), "malformed arithmetic conditioning"},
		"DAC table 4":         {before(segment(0xCC, 0x04, 0x10)...), "malformed arithmetic conditioning"},
		"DAC upside down":     {before(segment(0xCC, 0x00, 0x12)...), "malformed arithmetic conditioning"},
		"DAC of one value":    {before(segment(0xCC, 0x00, 0x22)...), valid},

		"quantization table 3":     {slices.Concat(soi, segment(0xDB, append([]byte{3}, ones...)...), tables, frame(0xC0, 1, 0x11, 3), whole, eoi), valid},
		"quantization table 4":     {before(segment(0xDB, append([]byte{4}, ones...)...)...), "malformed quantization"},
		"24-bit quantization":      {before(segment(0xDB, append([]byte{0x20}, bytes.Repeat(ones, 3)...)...)...), "malformed quantization"},
		"quantization, a byte off": {before(segment(0xDB, append([]byte{0}, ones[1:]...)...)...), "malformed quantization"},
		"quantization, one more":   {before(segment(0xDB, slices.Concat([]byte{0}, ones, []byte{0})...)...), "malformed quantization"},
		"two quantizations":        {before(segment(0xDB, slices.Concat([]byte{0}, ones, []byte{1}, ones)...)...), valid},
		"quantization not there":   {slices.Concat(soi, tables, gray, whole, eoi), "quantization table not defined"},
		"quantization of table 4":  {slices.Concat(soi, quant, tables, frame(0xC0, 1, 0x11, 4), whole, eoi), "quantization table not defined"},

		"Huffman tables 3":      {slices.Concat(soi, quant, oneCode(3, 0), oneCode(0x13, 0), gray, scan([]byte{1, 1, 0x33, 0, 63, 0}, zeros), eoi), valid},
		"Huffman table 4":       {before(oneCode(4, 0)...), "malformed Huffman"},
		"Huffman class 2":       {before(oneCode(0x20, 0)...), "malformed Huffman"},
		"Huffman, one more":     {before(segment(0xC4, slices.Concat([]byte{0, 1}, make([]byte, 15), []byte{0, 0})...)...), "malformed Huffman"},
		"Huffman, one less":     {before(segment(0xC4, slices.Concat([]byte{0, 1}, make([]byte, 15))...)...), "malformed Huffman"},
		"Huffman, 257 symbols":  {before(segment(0xC4, slices.Concat([]byte{0x11, 2, 255}, make([]byte, 14+257))...)...), "malformed Huffman"},
		"Huffman, 256 symbols":  {before(segment(0xC4, slices.Concat([]byte{0x11, 1, 255}, make([]byte, 14+256))...)...), valid}, // not used
		"three codes of a bit":  {baseline(segment(0xC4, slices.Concat([]byte{0, 3}, make([]byte, 15+3))...), whole), "Huffman table invalid"},
		"code of ones, 1 bit":   {baseline(segment(0xC4, slices.Concat([]byte{0, 2}, make([]byte, 15+2))...), whole), "Huffman table invalid"},
		"code of ones, 2 bits":  {baseline(segment(0xC4, slices.Concat([]byte{0, 1, 2}, make([]byte, 14+3))...), whole), "Huffman table invalid"},
		"codes 0 and 10":        {baseline(segment(0xC4, slices.Concat([]byte{0, 1, 1}, make([]byte, 14+2))...), whole), valid},
		"difference of 16 bits": {baseline(oneCode(0, 16), whole), "Huffman table invalid"},
		"no such code":          {baseline(scan(of(0, 63, 0), []byte{0xFE})), "invalid Huffman code"},
		"coefficient 64":        {baseline(oneCode(0x10, 0xF0), whole), "invalid Huffman code or coefficient"},
		"standard tables":       {slices.Concat(soi, quant, gray, scan(of(0, 63, 0), []byte{0b00_1010_11}), eoi), valid},
		"progressive, no DC":    {slices.Concat(soi, quant, oneCode(0x10, 0), frame(0xC2, 1, 0x11, 0), dc, eoi), "Huffman table invalid or not"},
		"progressive, no AC":    {slices.Concat(soi, quant, oneCode(0, 0), frame(0xC2, 1, 0x11, 0), dc, scan(of(1, 63, 0), zeros), eoi), "Huffman table invalid or not"},

		"scan of none":           {baseline(scan([]byte{0, 0, 63, 0}, zeros)), "malformed scan header"},
		"scan of five":           {baseline(scan([]byte{5, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 63, 0}, zeros)), "malformed scan header"},
		"scan header, one more":  {baseline(scan(of(0, 63, 0, 0), zeros)), "malformed scan header"},
		"scan of another":        {baseline(scan([]byte{1, 2, 0, 0, 63, 0}, zeros)), "unknown component"},
		"scan with DC table 4":   {baseline(scan([]byte{1, 1, 0x40, 0, 63, 0}, zeros)), "unknown component or table"},
		"scan with AC table 4":   {baseline(scan([]byte{1, 1, 0x04, 0, 63, 0}, zeros)), "unknown component or table"},
		"component coded twice":  {baseline(whole, whole), "component coded twice"},
		"components not coded":   {slices.Concat(soi, quant, tables, three, whole, eoi), "before all components"},
		"same component in scan": {slices.Concat(soi, quant, tables, three, scan([]byte{3, 1, 0, 1, 0, 2, 0, 0, 63, 0}, zeros), eoi), "unknown component"},
		"10 blocks in an MCU": {slices.Concat(soi, quant, tables, frame(0xC0, 1, 0x22, 0, 2, 0x22, 0, 3, 0x21, 0),
			scan([]byte{3, 1, 0, 2, 0, 3, 0, 0, 63, 0}, make([]byte, 3)), eoi), valid},
		"12 blocks in an MCU": {slices.Concat(soi, quant, tables, frame(0xC0, 1, 0x22, 0, 2, 0x22, 0, 3, 0x22, 0),
			scan([]byte{3, 1, 0, 2, 0, 3, 0, 0, 63, 0}, make([]byte, 3)), eoi), "more than 10 blocks"},
		"no entropy-coded data": {baseline(segment(0xDA, of(0, 63, 0)...)), "ends before the scan does"},
		"progressive, no data":  {progressive(segment(0xDA, of(0, 0, 0)...)), "ends before the scan does"},
		"band without data":     {progressive(dc, segment(0xDA, of(1, 63, 0)...)), "ends before the scan does"},

		// Arithmetic coding needs no tables. Zeros at the end are left out. A refinement of DC takes a bit for each block.
		"arithmetic":              {arithmetic(0xC9, 8, 8, scan(of(0, 63, 0), flat)), valid},
		"arithmetic, large":       {arithmetic(0xC9, 4000, 4000, scan(of(0, 63, 0), flat)), valid},
		"arithmetic, no data":     {arithmetic(0xC9, 8, 8, scan(of(0, 63, 0), nil)), valid},
		"arithmetic, index 64":    {arithmetic(0xC9, 8, 8, scan(of(0, 63, 0), overlong)), "coefficient or its index too large"},
		"arithmetic, AC 32767":    {arithmetic(0xC9, 8, 8, scan(of(0, 63, 0), []byte{0x87, 0x61, 0x64, 0xAF, 0xC4})), valid},
		"arithmetic, AC 32769":    {arithmetic(0xC9, 8, 8, scan(of(0, 63, 0), []byte{0x87, 0x61, 0x79, 0x78, 0xC0})), "coefficient or its index too large"},
		"arithmetic, DC 32767":    {arithmetic(0xC9, 8, 8, scan(of(0, 63, 0), []byte{0xD2, 0xF1, 0x29, 0x5F, 0x88})), valid},
		"arithmetic, DC 32769":    {arithmetic(0xC9, 8, 8, scan(of(0, 63, 0), []byte{0xD2, 0xF1, 0x52, 0xF1, 0x80})), "coefficient or its index too large"},
		"arithmetic DC, too much": {arithmetic(0xCA, 8, 8, scan(of(0, 0, 0), []byte{0xD2, 0xF1, 0x52, 0xF1, 0x80})), "coefficient or its index too large"},
		"arithmetic, table 4":     {arithmetic(0xC9, 8, 8, scan([]byte{1, 1, 0x40, 0, 63, 0}, flat)), "unknown component or table"},
		"arithmetic, coded twice": {arithmetic(0xC9, 8, 8, scan(of(0, 63, 0), flat), scan(of(0, 63, 0), flat)), "component coded twice"},
		"arithmetic DC":           {arithmetic(0xCA, 8, 8, scan(of(0, 0, 0), nil)), valid},
		"arithmetic DC twice":     {arithmetic(0xCA, 8, 8, scan(of(0, 0, 0), nil), scan(of(0, 0, 0), nil)), "out of order"},
		"arithmetic band":         {arithmetic(0xCA, 8, 8, scan(of(0, 0, 0), nil), scan(of(1, 63, 0), ends)), valid},
		"arithmetic, long band":   {arithmetic(0xCA, 8, 8, scan(of(0, 0, 0), nil), scan(of(1, 63, 0), overlong)), "coefficient or its index too large"},
		"arithmetic band, AC 32769": {arithmetic(0xCA, 8, 8, scan(of(0, 0, 0), nil), scan(of(1, 63, 0), []byte{0x3B, 0xD1, 0x72, 0xF1, 0x80})),
			"coefficient or its index too large"},
		"arithmetic refinement": {arithmetic(0xCA, 8, 8, scan(of(0, 0, 0), nil), scan(of(1, 63, 1), ends), scan(of(1, 63, 0x10), ends)), valid},
		"arithmetic, long refinement": {arithmetic(0xCA, 8, 8, scan(of(0, 0, 0), nil), scan(of(1, 63, 1), ends), scan(of(1, 63, 0x10), overlong)),
			"coefficient or its index too large"},
		"arithmetic, 6400 bits left out":   {arithmetic(0xCA, 640, 640, scan(of(0, 0, 1), nil), scan(of(0, 0, 0x10), nil)), valid},
		"arithmetic, 15,625 bits left out": {arithmetic(0xCA, 1000, 1000, scan(of(0, 0, 1), nil), scan(of(0, 0, 0x10), nil)), "ends before the scan does"},

		"restart interval":          {wide(segment(0xDD, 0, 1), whole, []byte{0xFF, 0xD0, 0}), valid},
		"restart out of order":      {wide(segment(0xDD, 0, 1), whole, []byte{0xFF, 0xD1, 0}), "restart marker missing or out of order"},
		"restart missing":           {wide(segment(0xDD, 0, 1), whole), "restart marker missing or out of order"},
		"restarts no more":          {wide(segment(0xDD, 0, 1), segment(0xDD, 0, 0), whole), valid},
		"restart interval of 1":     {before(segment(0xDD, 1)...), "restart interval of wrong length"},
		"restart interval of 3":     {before(segment(0xDD, 0, 0, 1)...), "restart interval of wrong length"},
		"long interval":             {wide(segment(0xDD, 1, 0), whole), valid},
		"interval before its frame": {before(segment(0xDD, 0, 1)...), valid},

		"DC with AC":                {progressive(scan(of(0, 1, 0), zeros)), "invalid parameters"},
		"band backwards":            {progressive(dc, scan(of(2, 1, 0), zeros)), "invalid parameters"},
		"band of one":               {progressive(dc, scan(of(2, 2, 0), zeros)), valid},
		"band to 64":                {progressive(dc, scan(of(2, 64, 0), zeros)), "invalid parameters"},
		"lowest bit 13":             {progressive(dc, scan(of(1, 63, 13), zeros)), valid},
		"lowest bit 14":             {progressive(dc, scan(of(1, 63, 14), zeros)), "invalid parameters"},
		"refinement by two bits":    {progressive(dc, scan(of(1, 63, 2), zeros), scan(of(1, 63, 0x20), zeros)), "invalid parameters"},
		"refinement by no bit":      {progressive(dc, scan(of(1, 63, 1), zeros), scan(of(1, 63, 0x11), zeros)), "invalid parameters"},
		"refinement":                {progressive(dc, scan(of(1, 63, 1), zeros), scan(of(1, 63, 0x10), zeros)), valid},
		"refinement of nothing":     {progressive(dc, scan(of(1, 63, 0x10), zeros)), "out of order"},
		"refinement of another bit": {progressive(dc, scan(of(1, 63, 1), zeros), scan(of(1, 63, 0x21), zeros)), "out of order"},
		"refinement beyond a band":  {progressive(dc, scan(of(1, 5, 1), zeros), scan(of(1, 6, 0x10), zeros)), "out of order"},
		"bands that overlap":        {progressive(dc, scan(of(1, 5, 0), zeros), scan(of(5, 6, 0), zeros)), "out of order"},
		"DC twice":                  {progressive(dc, dc), "out of order"},
		"AC before DC":              {progressive(scan(of(1, 63, 0), zeros), dc), "AC scan before the first DC scan"},
		"AC of two components": {slices.Concat(soi, quant, tables, frame(0xC2, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0),
			scan([]byte{3, 1, 0, 2, 0, 3, 0, 0, 0, 0}, zeros), scan([]byte{2, 1, 0, 2, 0, 1, 63, 0}, zeros), eoi), "invalid parameters"},

		// The bits are the code, and a value of one bit.
		"last of a band":              {progressive(dc, oneCode(0x10, 0x51), scan(of(1, 6, 0), []byte{0b01_111111})), valid},
		"one beyond a band":           {progressive(dc, oneCode(0x10, 0x51), scan(of(1, 5, 0), []byte{0b01_111111})), "invalid Huffman code or coefficient"},
		"zeros beyond a band":         {progressive(dc, oneCode(0x10, 0xF0), scan(of(1, 63, 0), zeros)), "invalid Huffman code or coefficient"},
		"longest run of blocks":       {progressive(dc, oneCode(0x10, 0xE0), scan(of(1, 63, 0), []byte{0x7F, 0xFE})), valid},
		"new coefficient of 1":        {progressive(dc, scan(of(1, 1, 1), zeros), oneCode(0x10, 0x01), scan(of(1, 1, 0x10), []byte{0b01_111111})), valid},
		"new coefficient of -1":       {progressive(dc, scan(of(1, 1, 1), zeros), oneCode(0x10, 0x01), scan(of(1, 1, 0x10), []byte{0b00_111111})), valid},
		"new coefficient of 2":        {progressive(dc, scan(of(1, 1, 1), zeros), oneCode(0x10, 0x02), scan(of(1, 1, 0x10), []byte{0b010_11111})), "invalid Huffman code or coefficient"},
		"new coefficient of -2":       {progressive(dc, scan(of(1, 1, 1), zeros), oneCode(0x10, 0x02), scan(of(1, 1, 0x10), []byte{0b001_11111})), "invalid Huffman code or coefficient"},
		"new coefficient beyond band": {progressive(dc, scan(of(1, 1, 1), zeros), oneCode(0x10, 0x11), scan(of(1, 1, 0x10), []byte{0b01_111111})), "invalid Huffman code or coefficient"},
		"no such code in a band":      {progressive(dc, scan(of(1, 63, 0), []byte{0xFE})), "invalid Huffman code"},
		"no such code in refinement":  {progressive(dc, scan(of(1, 63, 1), zeros), scan(of(1, 63, 0x10), []byte{0xFE})), "invalid Huffman code"},
		"no such difference":          {progressive(scan(of(0, 0, 0), []byte{0xFE})), "invalid Huffman code"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d jpeg.Decoder
			_, err := d.Decode(test.file, jpeg.Options{})
			switch {
			case test.want == valid:
				if err != nil {
					t.Error(err)
				}
			case err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, io.ErrUnexpectedEOF):
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestDamageWithinMCU checks that a block with a coefficient too many is an error wherever in its MCU it is, also if what
// follows could be read as a block.
func TestDamageWithinMCU(t *testing.T) {
	t.Parallel()
	const good, damaged = "000", "001010101" // no difference; the end of the block, or four times sixteen zeros
	file := func(blocks string) []byte {
		return slices.Concat([]byte{0xFF, 0xD8}, segment(0xDB, append([]byte{0}, bytes.Repeat([]byte{2}, 64)...)...),
			segment(0xC4, append([]byte{0x00, 1}, make([]byte, 16)...)...),
			segment(0xC4, append(append([]byte{0x10, 0, 3}, make([]byte, 14)...), 0x00, 0xF0, 0x01)...),
			segment(0xC0, 8, 0, 8, 0, 8, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0),
			segment(0xDA, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0), entropyCoded(blocks), []byte{0xFF, 0xD9})
	}
	var d jpeg.Decoder
	if _, err := d.Decode(file(good+good+good), jpeg.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, blocks := range []string{damaged + good + good + good, good + damaged + good + good, good + good + damaged + good} {
		_, err := d.Decode(file(blocks), jpeg.Options{})
		if _, ok := errors.AsType[jpeg.FormatError](err); !ok {
			t.Errorf("Decode of blocks %s: error %v, want a FormatError", blocks, err)
		}
	}
}
