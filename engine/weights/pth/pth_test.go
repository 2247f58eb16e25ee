package pth

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
)

// The pickles of these tests are written with the opcodes PyTorch itself emits in protocol 2.

func str(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// num is BININT.
func num(n int) string { return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// tup is a tuple of values.
func tup(values ...string) string { return "(" + strings.Join(values, "") + "t" }

func nums(n ...int) string {
	s := make([]string, len(n))
	for i, v := range n {
		s[i] = num(v)
	}
	return tup(s...)
}

func store(class, key string, elements int, more ...string) string {
	return tup(append([]string{str("storage"), "ctorch\n" + class + "\n", str(key), str("cpu"), num(elements)}, more...)...) + "Q"
}

func rebuilt(storage string, offset int, shape, stride string) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n" +
		tup(storage, num(offset), shape, stride, "\x89", "ccollections\nOrderedDict\n)R") + "R"
}

// program is a pickled OrderedDict of key, value, key, value...
func program(items ...string) string {
	return "\x80\x02ccollections\nOrderedDict\n)R(" + strings.Join(items, "") + "u."
}

func floats(v ...float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// zipFile is a checkpoint of a pickle and storages.
func zipFile(tb testing.TB, method uint16, pickle string, storages map[string][]byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	add("m/data.pkl", []byte(pickle))
	for key, data := range storages {
		add("m/data/"+key, data)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// legacyFile is a checkpoint of a pickle and storages of float32.
func legacyFile(pickle string, keys []string, storages map[string][]byte) []byte {
	b := append([]byte(nil), legacyMagic...)
	b = append(b, "\x80\x02M\xe9\x03."...)
	b = append(b, "\x80\x02}("+str("little_endian")+"\x88u."...)
	b = append(b, pickle...)
	list := "\x80\x02]("
	for _, k := range keys {
		list += str(k)
	}
	b = append(b, list+"e."...)
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(storages[k])/4))
		b = append(b, storages[k]...)
	}
	return b
}

var (
	goodPickle = program(
		str("a.weight"), rebuilt(store("FloatStorage", "0", 6), 0, nums(2, 3), nums(3, 1)),
		str("a.transposed"), rebuilt(store("FloatStorage", "0", 6), 0, nums(3, 2), nums(1, 3)),
		str("b"), rebuilt(store("FloatStorage", "1", 3), 1, nums(2), nums(1)),
	)
	goodStorages = map[string][]byte{"0": floats(1, 2, 3, 4, 5, 6), "1": floats(7, 8, 9)}
	goodTensors  = map[string]tensor.Tensor{
		"a.weight":     {Shape: []int{2, 3}, Data: []float32{1, 2, 3, 4, 5, 6}},
		"a.transposed": {Shape: []int{3, 2}, Data: []float32{1, 4, 2, 5, 3, 6}},
		"b":            {Shape: []int{2}, Data: []float32{8, 9}},
	}
)

func TestGoodCheckpoints(t *testing.T) {
	t.Parallel()
	nested := "\x80\x02}(" + str("epoch") + "K\x05" + str("lr") + "G?\xb9\x99\x99\x99\x99\x99\x9a" + str("state_dict") +
		strings.TrimSuffix(strings.TrimPrefix(goodPickle, "\x80\x02"), ".") + "u."
	for _, tt := range []struct {
		name  string
		parse func([]byte) (map[string]tensor.Tensor, error)
		data  []byte
	}{
		{"zip", ParseZip, zipFile(t, zip.Store, goodPickle, goodStorages)},
		{"zip, compressed", ParseZip, zipFile(t, zip.Deflate, goodPickle, goodStorages)},
		{"zip, under state_dict", ParseZip, zipFile(t, zip.Store, nested, goodStorages)},
		{"legacy", ParseLegacy, legacyFile(goodPickle, []string{"1", "0"}, goodStorages)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.parse(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(goodTensors, got); diff != "" {
				t.Errorf("tensors differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefusals checks that pickles that are wrong, or want more than tensors, end in an error that says what.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := store("FloatStorage", "0", 6)
	for _, tt := range []struct{ name, pickle, wrong string }{
		{"call of os.system", "\x80\x02cposix\nsystem\n(X\x02\x00\x00\x00idtR.", `"posix.system"`},
		{"call of eval by stack", "\x80\x04" + str("builtins") + str("eval") + "\x93.", `"builtins.eval"`},
		{"INST", "\x80\x02(ios\nsystem\n.", "opcode 0x69"},
		{"EXT1", "\x80\x02\x82\x01.", "opcode 0x82"},
		{"NEWOBJ", "\x80\x02ccollections\nOrderedDict\n)\x81.", "opcode 0x81"},
		{"storage class called", "\x80\x02ctorch\nFloatStorage\n)R.", "refused"},
		{"OrderedDict with arguments", "\x80\x02ccollections\nOrderedDict\n" + nums(1) + "R.", "arguments"},
		{"protocol", "\x80\x09.", "protocol 9"},
		{"stack empty", "\x80\x02.", "stack is empty"},
		{"tuple without mark", "\x80\x02t.", "no mark"},
		{"memo", "\x80\x02h\x07.", "memo has no entry 7"},
		{"ends", "\x80\x02", "ends"},
		{"ends in string", "\x80\x02X\xff\x00\x00\x00a", "ends"},
		{"a number", "\x80\x02K\x01.", "holds a number"},
		{"no tensors", program(), "no floating-point tensors"},
		{"entry is no tensor", program(str("a"), "K\x01"), `entry "a" is a number`},
		{"key is no string", program("K\x01", "K\x01"), "key that is a number"},
		{"odd items", program(str("a")), "key without value"},
		{"persistent id of a class", "\x80\x02" + tup(str("module"), "N", "N", "N", "N") + "Q.", "not that of a storage"},
		{"storage of another class", "\x80\x02" + store("QInt8Storage", "0", 1) + ".", `"torch.QInt8Storage"`},
		{"storage too large", program(str("a"), rebuilt(store("FloatStorage", "0", 1<<30), 0, nums(1), nums(1))), "at most"},
		{"storage missing", program(str("a"), rebuilt(store("FloatStorage", "9", 6), 0, nums(6), nums(1))), `tensor "a": storage "9" is not in the file`},
		{"storage shorter", program(str("a"), rebuilt(store("FloatStorage", "0", 7), 0, nums(7), nums(1))), `tensor "a": its storage has 24 bytes, want 28`},
		{"beyond storage", program(str("a"), rebuilt(s, 1, nums(6), nums(1))), "reaches elements 1 to 6"},
		{"negative offset", program(str("a"), rebuilt(s, -1, nums(2), nums(1))), "reaches"},
		{"stride too long", program(str("a"), rebuilt(s, 0, nums(2, 3), nums(4, 1))), "reaches elements 0 to 6"},
		{"negative stride", program(str("a"), rebuilt(s, 0, nums(2), nums(-1))), "stride"},
		{"expanded", program(str("a"), rebuilt(s, 0, nums(1000, 1000), nums(0, 0))), "more elements than the 6"},
		{"strides missing", program(str("a"), rebuilt(s, 0, nums(2, 3), nums(1))), "2 dimensions but 1 strides"},
		{"tensor of a number", program(str("a"), rebuilt("K\x01", 0, nums(1), nums(1))), "want a storage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseZip(zipFile(t, zip.Store, tt.pickle, goodStorages))
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("ParseZip: error %v, want one with %q", err, tt.wrong)
			}
		})
	}
}

// TestTruncated checks that a file cut anywhere is an error, not a crash.
func TestTruncated(t *testing.T) {
	t.Parallel()
	zipped := zipFile(t, zip.Store, goodPickle, goodStorages)
	for n := range len(zipped) {
		if _, err := ParseZip(zipped[:n]); err == nil {
			t.Errorf("ParseZip of %d of %d bytes gave no error", n, len(zipped))
		}
	}
	legacy := legacyFile(goodPickle, []string{"1", "0"}, goodStorages)
	for n := len(legacyMagic); n < len(legacy); n++ {
		if _, err := ParseLegacy(legacy[:n]); err == nil {
			t.Errorf("ParseLegacy of %d of %d bytes gave no error", n, len(legacy))
		}
	}
}

// TestDamagedStorage checks that one wrong bit in a tensor's numbers is found.
func TestDamagedStorage(t *testing.T) {
	t.Parallel()
	data := zipFile(t, zip.Store, goodPickle, map[string][]byte{"0": floats(1, 2, 3, 4, 5, 6), "1": floats(7, 8, 9)})
	at := bytes.Index(data, floats(8, 9))
	data[at] ^= 1
	_, err := ParseZip(data)
	if err == nil || !strings.Contains(err.Error(), `tensor "b": m/data/1 is damaged`) {
		t.Errorf("ParseZip of a file with a wrong bit: error %v, want one that names tensor b", err)
	}
}

func FuzzUnpickle(f *testing.F) {
	f.Add([]byte(goodPickle))
	f.Add([]byte("\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94."))
	f.Add([]byte("\x80\x02]((K\x01e(M\x02\x00J\xff\xff\xff\xfft\x8a\x02\xff\x00\x87a."))
	f.Fuzz(func(t *testing.T, program []byte) {
		v, n, err := unpickle(program)
		if err == nil && (n <= 0 || n > len(program)) {
			t.Errorf("unpickle = %v of %d bytes, program has %d", v, n, len(program))
		}
	})
}

func FuzzParseZip(f *testing.F) {
	f.Add(zipFile(f, zip.Store, goodPickle, goodStorages))
	f.Add(zipFile(f, zip.Deflate, goodPickle, goodStorages))
	f.Fuzz(func(t *testing.T, data []byte) {
		if tensors, err := ParseZip(data); err == nil {
			checkSizes(t, tensors)
		}
	})
}

func FuzzParseLegacy(f *testing.F) {
	f.Add(legacyFile(goodPickle, []string{"1", "0"}, goodStorages)[len(legacyMagic):])
	f.Fuzz(func(t *testing.T, rest []byte) {
		data := append(append([]byte(nil), legacyMagic...), rest...)
		if tensors, err := ParseLegacy(data); err == nil {
			checkSizes(t, tensors)
		}
	})
}

func checkSizes(t *testing.T, tensors map[string]tensor.Tensor) {
	t.Helper()
	for name, x := range tensors {
		if err := x.Check(x.Shape...); err != nil {
			t.Errorf("tensor %q: %v, has %d elements", name, err, len(x.Data))
		}
	}
}
