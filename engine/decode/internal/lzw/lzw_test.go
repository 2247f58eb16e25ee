package lzw

import (
	"bytes"
	"compress/lzw"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// blocks returns the stream in blocks of n bytes, its end, and then bytes that belong to something else.
func blocks(stream []byte, n int) func() ([]byte, error) {
	ended := false
	return func() ([]byte, error) {
		if ended {
			return []byte{0, 0, 0}, nil
		}
		if len(stream) == 0 {
			ended = true
			return nil, io.ErrUnexpectedEOF
		}
		block := stream[:min(n, len(stream))]
		stream = stream[len(block):]
		return block, nil
	}
}

func compress(tb testing.TB, pixels []byte, literal int) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := lzw.NewWriter(&b, lzw.LSB, literal)
	if _, err := w.Write(pixels); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// TestRead reads streams of compress/lzw with every number of bits, of noise and of long strings, in blocks and rows
// of several sizes.
func TestRead(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	var d Decoder
	for literal := 2; literal <= 8; literal++ {
		for _, run := range []int{1, 3, 50, 30_000} {
			pixels := make([]byte, 60_000)
			color := byte(0)
			for i := range pixels {
				if random.IntN(run) == 0 {
					color = byte(random.IntN(1 << literal))
				}
				pixels[i] = color
			}
			stream := compress(t, pixels, literal)
			for _, size := range []int{1, 2, 7, 13, 255, len(stream)} {
				d.Reset(literal, blocks(stream, size))
				got := make([]byte, len(pixels))
				for rest := got; len(rest) > 0; {
					n := min(len(rest), 1+size*size%20_011)
					if err := d.Read(rest[:n]); err != nil {
						t.Fatalf("%d bits, runs of %d, blocks of %d: %v", literal, run, size, err)
					}
					rest = rest[n:]
				}
				if !bytes.Equal(got, pixels) {
					t.Errorf("%d bits, runs of %d, blocks of %d: pixels differ", literal, run, size)
				}
				if err := d.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("a byte after the last: error %v, want io.EOF", err)
				}
			}
		}
	}
}

// pack packs codes of growing width, as pairs of code and bits.
func pack(codes ...[2]int) (stream []byte) {
	bits := 0
	for _, c := range codes {
		for i := range c[1] {
			if bits%8 == 0 {
				stream = append(stream, 0)
			}
			stream[bits/8] |= byte(c[0]>>i&1) << (bits % 8)
			bits++
		}
	}
	return stream
}

// TestUnusual holds streams that compress/lzw does not write.
func TestUnusual(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		literal int
		stream  []byte
		want    string
		err     error
	}{
		"literals of 1 bit":              {1, pack([2]int{2, 2}, [2]int{1, 2}, [2]int{0, 2}, [2]int{1, 2}, [2]int{1, 2}, [2]int{3, 2}), "\x01\x00\x01\x01", io.EOF},
		"literals of 0 bits":             {0, []byte{0}, "\x00\x00\x00\x00\x00\x00\x00\x00", io.ErrUnexpectedEOF},
		"literals of 11 bits":            {11, pack([2]int{0x7FE, 12}, [2]int{0x101, 12}), "\xFE\x01", io.ErrUnexpectedEOF},
		"two clear codes":                {2, pack([2]int{4, 3}, [2]int{4, 3}, [2]int{3, 3}, [2]int{5, 3}), "\x03", io.EOF},
		"no clear code":                  {2, pack([2]int{3, 3}, [2]int{6, 3}), "\x03\x03\x03", io.ErrUnexpectedEOF},
		"a code that is not defined":     {2, pack([2]int{4, 3}, [2]int{3, 3}, [2]int{7, 3}), "\x03", errCode},
		"a string without one before it": {2, pack([2]int{4, 3}, [2]int{6, 3}), "", errCode},
	} {
		var d Decoder
		d.Reset(test.literal, blocks(test.stream, 255))
		got := make([]byte, len(test.want))
		if err := d.Read(got); err != nil || string(got) != test.want {
			t.Errorf("%s: % x, error %v; want % x", name, got, err, test.want)
		}
		err := error(nil)
		for err == nil { // what padding stands for
			err = d.Read(make([]byte, 1))
		}
		if !errors.Is(err, test.err) {
			t.Errorf("%s: error %v at the end, want %v", name, err, test.err)
		}
	}
}

// FuzzRead checks that streams that compress/lzw accepts give the same bytes.
func FuzzRead(f *testing.F) {
	f.Add(compress(f, []byte("aaaaaaabababababab"), 8), byte(8))
	f.Add(compress(f, bytes.Repeat([]byte{0, 1, 2, 3}, 5000), 2), byte(2))
	f.Fuzz(func(t *testing.T, stream []byte, width byte) {
		literal := int(width)%7 + 2
		want, err := io.ReadAll(io.LimitReader(lzw.NewReader(bytes.NewReader(stream), lzw.LSB, literal), 1<<20))
		if err != nil {
			return
		}
		var d Decoder
		d.Reset(literal, blocks(stream, 200))
		got := make([]byte, len(want))
		if err := d.Read(got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Read: error %v, or other bytes than compress/lzw's", err)
		}
	})
}
