package pth

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"maps"
	"slices"
	"testing"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// The seeds are as short as their forms allow, most of them 100 to 400 bytes: a fuzzer makes interesting inputs smaller before it
// goes on, which takes time in proportion to the square of their length.

var (
	// unit is a tensor of 1 x 1 number, in storage "0".
	unit         = rebuilt(store("FloatStorage", "0", 1), 0, nums(1, 1), nums(1, 1))
	unitStorages = map[string][]byte{"0": floats(1)}
)

// smallPrograms are pickles without their beginning and end, a few for each group of opcodes and for each form of tensor.
func smallPrograms() []string {
	f4 := name("numpy", "dtype") + tup(str("f4")) + "R"
	reconstruct := func(data string) string {
		return name("numpy.core.multiarray", "_reconstruct") + ")R" + tup("K\x01", nums(1, 1), f4, "\x88", data) + "b"
	}
	parameter := name("torch._utils", "_rebuild_parameter") + tup(unit, "\x88", ordered()) + "R"
	module := func(class, attributes string) string { return name("m", class) + ")\x81}(" + attributes + "ub" }
	return []string{
		ordered(str("a"), unit),
		"}(" + str("model_ema") + "}" + str("w") + unit + binput(0) + "s" + str("optimizer") + "}" + str("w") + got(0) + "s" + str("epoch") + "K\x03u",
		"]" + unit + "aK\x01\x86",
		str("a") + parameter + "\x86",
		"}" + str("a") + name("torch._utils", "_rebuild_tensor_v3") + tup(
			tup(str("storage"), name("torch", "UntypedStorage"), str("0"), str("cpu"), num(4))+"Q", num(0), nums(1, 1), nums(1, 1), "\x89", "}",
			name("torch", "bfloat16")) + "Rs",
		"}" + str("a") + name("torch._tensor", "_rebuild_from_type_v2") + tup(name("torch._utils", "_rebuild_tensor"),
			name("a", "T"), tup(store("HalfStorage", "0", 2, tup(str("p"), num(1), num(1))), num(0), nums(1, 1), nums(1, 1)), "}") + "Rs",
		"}" + str("a") + reconstruct("C\x04\x00\x00\x80\x3f") + "s",
		"}" + str("a") + reconstruct(name("_codecs", "encode")+str("\x00\x00\u0080?")+str("latin1")+"\x86R") + "s",
		"}" + str("a") + name("numpy.core.numeric", "_frombuffer") + tup("\x96\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x3f", f4, nums(1, 1), str("C")) + "Rs",
		module("Net", str("_modules")+"}"+str("fc")+module("Linear", str("_modules")+"}"+str("_parameters")+"}"+str("w")+unit+binput(0)+"s"+
			str("_buffers")+"}"+str("b")+got(0)+"s"+str("_non_persistent_buffers_set")+"]"+str("b")+"a")+"s"),
		name("__torch__", "Net") + ")\x81}" + str("w") + unit + "sb",
		// Plain values: labels, numbers, old strings.
		"}(" + str("classes") + "](" + str("ant") + str("bee") + "e" + str("idx") + "}(K\x00U\x03antM\x01\x00T\x03\x00\x00\x00bee" +
			"u" + str("c") + "}" + str("ant") + "J\x00\x00\x00\x00s" + str("mean") + "](G\x3f\xdf\x0a\x3d\x70\xa3\xd7\x0a\x8a\x01\x01eu",
		"\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94h\x00\x93",
		"(lp0\nI1\naL2L\naF0.5\naS'b\\n\\x41'\np1\nag1\naVna\xefve \\u732b\\U0001f600\naP12\na(I00\ntaNa",
		"(dp0\nS'a'\nccopy_reg\n_reconstructor\n(cm\nC\nc__builtin__\ndict\n(dS'k'\nI01\nstRs",
		"((" + name("m", "f") + "K\x01o(K\x02im\nf\n\x86" + name("m", "f") + ")}\x92K\x010(N12\x82\x07\x84\x01\x00\x00\x00t",
		"\x8f(K\x01\x90(K\x02\x91]\x94r\x00\x01\x00\x00j\x00\x01\x00\x00\x88\x89\x8b\x03\x00\x00\x00\x00\x00\x80\x98(t",
	}
}

// bare is a zip file as PyTorch writes it when it computes no check sums: where there are none, a fuzzer can change an entry.
func bare(tb testing.TB, method uint16, prefix, pickle string, storages map[string][]byte) []byte {
	tb.Helper()
	entries := map[string][]byte{prefix + "data.pkl": []byte(pickle)}
	for key, data := range storages {
		entries[prefix+"data/"+key] = data
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, entry := range slices.Sorted(maps.Keys(entries)) {
		data := entries[entry]
		h := &zip.FileHeader{Name: entry, Method: method, UncompressedSize64: uint64(len(data))}
		if method == zip.Deflate {
			data = deflated(tb, data)
		}
		h.CompressedSize64 = uint64(len(data))
		w, err := z.CreateRaw(h)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func deflated(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// smallFiles are small checkpoints of each container.
func smallFiles(tb testing.TB) [][]byte {
	tb.Helper()
	var files [][]byte
	for _, p := range smallPrograms() {
		files = append(files, []byte("\x80\x02"+p+"."))
	}
	p := "\x80\x02}" + str("a") + unit + "s."
	files = append(files,
		bare(tb, zip.Store, "m/", p, unitStorages),
		bare(tb, zip.Deflate, "", p, unitStorages),
		zipped(tb, zip.Store, "", p, unitStorages),
		legacy(p, []string{"0"}, unitStorages, nil),
		bytes.Replace(legacy(p, []string{"0"}, unitStorages, nil), []byte("\x80\x02"+string(legacyMagics[0])), legacyMagics[1], 1),
		[]byte(nestedStorages(1)),
	)
	return files
}

// TestSmallFiles checks that the seeds are what they stand for: all are read, and most have a tensor.
func TestSmallFiles(t *testing.T) {
	t.Parallel()
	tensors := 0
	for _, data := range smallFiles(t) {
		if len(data) > 600 {
			t.Errorf("seed of %d bytes, want at most 600", len(data))
		}
		c, err := Parse(data)
		if err != nil {
			t.Errorf("%.60q: %v", data, err)
			continue
		}
		if len(c.Candidates) > 0 {
			tensors++
		}
		readable(t, c)
	}
	if tensors != 16 {
		t.Errorf("%d seeds have tensors, want 16", tensors)
	}
}

// FuzzParse checks that no file makes the reader crash, hang or take much memory, and that what is offered can be read or is
// an error.
func FuzzParse(f *testing.F) {
	for _, data := range smallFiles(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		readable(t, c)
	})
}

// FuzzProgram does the same with the pickle alone, and with storages that the containers would have to hold.
func FuzzProgram(f *testing.F) {
	for _, p := range smallPrograms() {
		f.Add([]byte("\x80\x02" + p + "."))
	}
	f.Add([]byte(goodPickle))
	f.Add(golden(f, "cycle.pkl"))
	f.Fuzz(func(t *testing.T, program []byte) {
		steps := maxSteps
		root, n, err := newMachine(&steps).run(program)
		if err != nil {
			return
		}
		if n <= 0 || n > len(program) {
			t.Errorf("run = %v of %d bytes, program has %d", root, n, len(program))
		}
		w := walker{source: &source{fetch: func(s *storage) ([]byte, error) { return goodStorages["0"], nil }}}
		c := &Content{Facts: facts(root), Keys: keys(root)}
		if c.Candidates, err = w.candidates(root); err == nil {
			readable(t, c)
		}
	})
}

// readable reads all tensors.
func readable(t *testing.T, c *Content) {
	t.Helper()
	for _, candidate := range c.Candidates {
		for name, lazy := range candidate.Tensors {
			data, err := lazy.Read()
			if err == nil && len(data) != tensor.Size(lazy.Shape) {
				t.Errorf("tensor %q of %q has shape %v but %d numbers", name, candidate.Name, lazy.Shape, len(data))
			}
			if err == nil && !lazy.Float {
				t.Errorf("tensor %q of %q is read, though not of floating-point numbers", name, candidate.Name)
			}
		}
	}
}
