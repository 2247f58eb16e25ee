package inflate_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/decode/internal/inflate"
)

// pieces returns a source that gives data in pieces of at most n bytes, and then the error.
func pieces(data []byte, n int, then error) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(data) == 0 {
			return nil, then
		}
		piece := data[:min(n, len(data))]
		data = data[len(piece):]
		return piece, nil
	}
}

// inflated decompresses a stream that comes in pieces of n bytes.
func inflated(r *inflate.Reader, stream []byte, n int) ([]byte, error) {
	r.Reset(pieces(stream, n, io.ErrUnexpectedEOF), nil)
	return io.ReadAll(r)
}

// deflated compresses data.
func deflated(tb testing.TB, data []byte, level int) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, level)
	if err == nil {
		_, err = w.Write(data)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// samples are data that make every kind of block and match.
func samples() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 300_000)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	skewed := make([]byte, 300_000) // long codes for rare bytes
	for i := range skewed {
		for bit := byte(1); rng.IntN(2) == 0 && bit != 0; bit++ {
			skewed[i] = bit
		}
	}
	s := map[string][]byte{
		"empty": nil, "byte": {7}, "text": []byte(strings.Repeat("the quick brown fox jumps over the lazy dog, ", 9000)),
		"random": random, "skewed": skewed, "zeros": make([]byte, 300_000),
		"far": slices.Concat(random[:32768], random[:32768], random[5:300], random[:40000]),
	}
	for n := 2; n < 12; n++ { // matches that reach back less than a word
		s[fmt.Sprint("period ", n)] = bytes.Repeat(random[:n], 20_000)
	}
	return s
}

// TestRoundTrip decompresses what compress/zlib makes, in pieces of all sizes, with one reader for all.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	var r inflate.Reader
	for name, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, flate.BestSpeed, flate.BestCompression} {
			stream := deflated(t, data, level)
			for _, n := range []int{len(stream), 8191, 100, 17, 1} {
				got, err := inflated(&r, stream, n)
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s, level %d, pieces of %d: %d bytes, error %v; want %d", name, level, n, len(got), err, len(data))
				}
			}
		}
	}
}

// TestTruncated checks that no prefix of a stream is complete, and that the error is that of the source.
func TestTruncated(t *testing.T) {
	t.Parallel()
	var r inflate.Reader
	data := samples()["skewed"][:2000]
	for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, flate.BestCompression} {
		stream := deflated(t, data, level)
		for n := range stream {
			for _, piece := range []int{n + 1, 5} {
				got, err := inflated(&r, stream[:n], piece)
				if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(data, got) {
					t.Fatalf("level %d, first %d of %d bytes: %d bytes, error %v", level, n, len(stream), len(got), err)
				}
			}
		}
	}
}

// TestSourceIsAskedOnlyForMore checks that a source is not asked for what comes after the stream.
func TestSourceIsAskedOnlyForMore(t *testing.T) {
	t.Parallel()
	var r inflate.Reader
	for name, data := range samples() {
		stream := deflated(t, data, flate.BestCompression)
		r.Reset(pieces(stream, 1, errors.New("asked for more than the stream")), nil)
		if _, err := io.ReadAll(&r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// bitWriter writes streams that compress/zlib does not make.
type bitWriter struct {
	data []byte
	n    int
}

// put writes the lowest bits of v, the lowest first.
func (w *bitWriter) put(v uint32, n int) {
	for ; n > 0; n-- {
		if w.n%8 == 0 {
			w.data = append(w.data, 0)
		}
		w.data[len(w.data)-1] |= byte(v&1) << (w.n % 8)
		v >>= 1
		w.n++
	}
}

// TestRules checks what of the specifications is enforced.
func TestRules(t *testing.T) {
	t.Parallel()
	// fixed returns a stream of one block of the fixed codes. Its bits are given as text, in the order of the stream.
	fixed := func(codes string) []byte {
		w := bitWriter{data: []byte{0x78, 0x01}, n: 16}
		w.put(1|1<<1, 3)
		for _, bit := range strings.ReplaceAll(codes, " ", "") {
			w.put(uint32(bit-'0'), 1)
		}
		return append(w.data, 0, 0, 0, 1) // the check sum of nothing
	}
	// dynamic returns a stream whose block has the numbers of codes given, and then only zeros.
	dynamic := func(literals, distances uint32) []byte {
		w := bitWriter{data: []byte{0x78, 0x01}, n: 16}
		w.put(1|2<<1|(literals-257)<<3|(distances-1)<<8, 17)
		return append(w.data, make([]byte, 100)...)
	}
	const a, end, of3, back1, back5 = "10010001", "0000000", "0000001", "00000", "00100 0"
	for name, test := range map[string]struct {
		stream []byte
		want   error
	}{
		"empty":                    {fixed(end), nil},
		"window of 64 KiB":         {[]byte{0x88, 0x1C, 0, 0, 0, 0}, inflate.ErrHeader},
		"another method":           {[]byte{0x77, 0x01, 0, 0}, inflate.ErrHeader},
		"header's check":           {[]byte{0x78, 0x02, 0, 0}, inflate.ErrHeader},
		"dictionary":               {[]byte{0x78, 0x20, 0, 0, 0, 0}, inflate.ErrHeader},
		"block of kind 3":          {[]byte{0x78, 0x01, 0x07, 0}, inflate.ErrData},
		"stored, length differs":   {[]byte{0x78, 0x01, 0x01, 1, 0, 0, 0, 9}, inflate.ErrData},
		"check sum":                {fixed(a + end), inflate.ErrChecksum},
		"match before the start":   {fixed(of3 + back1), inflate.ErrData},
		"match farther than there": {fixed(a + of3 + back5), inflate.ErrData},
		"length 286":               {fixed("11000110"), inflate.ErrData},
		"distance 30":              {fixed(a + of3 + "11110"), inflate.ErrData},
		"287 literals and lengths": {dynamic(287, 1), inflate.ErrData},
		"31 distances":             {dynamic(257, 31), inflate.ErrData},
		"no codes for lengths":     {dynamic(257, 1), inflate.ErrData},
	} {
		for _, n := range []int{1, 100} {
			var r inflate.Reader
			if _, err := inflated(&r, append(test.stream, make([]byte, 20)...), n); !errors.Is(err, test.want) {
				t.Errorf("%s, pieces of %d: error %v, want %v", name, n, err, test.want)
			}
		}
	}
}

// FuzzInflate checks that streams are decompressed to what compress/zlib makes of them, and refused if it refuses them.
func FuzzInflate(f *testing.F) {
	for _, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, flate.BestCompression} {
			f.Add(deflated(f, data[:min(len(data), 4000)], level), uint8(50))
		}
	}
	var r inflate.Reader
	f.Fuzz(func(t *testing.T, stream []byte, n uint8) {
		const most = 1 << 20
		got, err := io.ReadAll(io.LimitReader(reset(&r, stream, 1+int(n)), most))
		var want []byte
		z, wantErr := zlib.NewReader(bytes.NewReader(stream))
		if wantErr == nil {
			want, wantErr = io.ReadAll(io.LimitReader(z, most))
		}
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, error %v; want %d, error %v", len(got), err, len(want), wantErr)
		}
	})
}

func reset(r *inflate.Reader, stream []byte, n int) io.Reader {
	r.Reset(pieces(stream, n, io.ErrUnexpectedEOF), nil)
	return r
}

// BenchmarkInflate compares the reader with the standard library's.
func BenchmarkInflate(b *testing.B) {
	for _, name := range []string{"text", "random", "skewed", "zeros"} {
		data := samples()[name]
		stream := deflated(b, data, flate.DefaultCompression)
		b.Run(name+"/here", func(b *testing.B) {
			var r inflate.Reader
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if n, err := io.Copy(io.Discard, reset(&r, stream, 8192)); err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
			}
		})
		b.Run(name+"/zlib", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			z, err := zlib.NewReader(bytes.NewReader(stream))
			for b.Loop() {
				if err = errors.Join(err, z.(zlib.Resetter).Reset(bytes.NewReader(stream), nil)); err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, z); err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
			}
		})
	}
}
