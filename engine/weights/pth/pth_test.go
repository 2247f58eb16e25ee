package pth

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/zipdir"
)

// numbers is a float tensor for comparison.
type numbers struct {
	Shape []int
	Data  []float32
}

// readAll reads a candidate's float tensors.
func readAll(tb testing.TB, c Candidate) map[string]numbers {
	tb.Helper()
	out := map[string]numbers{}
	for name, lazy := range c.Tensors {
		if !lazy.Float {
			continue
		}
		data, err := lazy.Read()
		if err != nil {
			tb.Fatalf("read %q of %q: %v", name, c.Name, err)
		}
		out[name] = numbers{lazy.Shape, data}
	}
	return out
}

func golden(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// count is n numbers from the first on, in steps of a half, as testdata/make.py writes them.
func count(first float32, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = first + float32(i)/2
	}
	return out
}

// TestCandidates checks which groups of tensors are found where, in which order, and their numbers.
func TestCandidates(t *testing.T) {
	t.Parallel()
	good := map[string]numbers{
		"a.weight":     {[]int{2, 3}, []float32{1, 2, 3, 4, 5, 6}},
		"a.transposed": {[]int{3, 2}, []float32{1, 4, 2, 5, 3, 6}},
		"b":            {[]int{2}, []float32{8, 9}},
	}
	average := map[string]numbers{"module.conv1.weight": {[]int{2, 3}, count(3, 6)}}
	weights := map[string]numbers{"conv1.weight": {[]int{2, 3}, count(0, 6)}}
	whole := map[string]numbers{
		"conv1.weight": {[]int{2, 3}, count(0, 6)}, "bn1.weight": {[]int{2}, count(1, 2)},
		"bn1.running_mean": {[]int{2}, count(2, 2)}, "fc.1.weight": {[]int{4, 2}, count(4, 8)},
	}
	arrays := map[string]numbers{
		"stem.conv1.weight": {[]int{2, 3}, count(0, 6)}, "large": {[]int{2000}, count(0, 2000)},
	}
	w := rebuilt(store("FloatStorage", "0", 6), 0, nums(2, 3), nums(3, 1))
	single := map[string]numbers{"w": {[]int{2, 3}, []float32{1, 2, 3, 4, 5, 6}}}
	under := func(keys ...string) []byte {
		var items []string
		for _, k := range keys {
			items = append(items, str(k), ordered(str("w"), w))
		}
		return zipped(t, zip.Store, "m/", program(items...), goodStorages)
	}
	type group struct {
		Name, Class string
		Tensors     map[string]numbers
	}
	for _, tt := range []struct {
		name string
		data []byte
		kind Kind
		want []group
	}{
		{"zip", zipped(t, zip.Store, "m/", goodPickle, goodStorages), Zip, []group{{"", "", good}}},
		{"zip, compressed", zipped(t, zip.Deflate, "m/", goodPickle, goodStorages), Zip, []group{{"", "", good}}},
		{"zip without a folder", zipped(t, zip.Store, "", goodPickle, goodStorages), Zip, []group{{"", "", good}}},
		{"legacy", legacy(goodPickle, []string{"1", "0"}, goodStorages, nil), Legacy, []group{{"", "", good}}},
		{"training", golden(t, "training.pt"), Zip, []group{{"model_ema", "", average}, {"model", "", weights}}},
		{"training, data.pkl at the root, compressed", golden(t, "training-root.pt"), Zip, []group{{"model_ema", "", average}, {"model", "", weights}}},
		{"training, legacy", golden(t, "training-legacy.pt"), Legacy, []group{{"model_ema", "", average}, {"model", "", weights}}},
		{"whole model", golden(t, "whole.pt"), Zip, []group{{"", "my.models.Net", whole}}},
		{"whole model, legacy", golden(t, "whole-legacy.pt"), Legacy, []group{{"net", "my.models.Net", whole}}},
		{"arrays, protocol 2", golden(t, "arrays-2.pkl"), Pickle, []group{{"model", "", arrays}}},
		{"arrays, protocol 5", golden(t, "arrays-5.pkl"), Pickle, []group{{"model", "", arrays}}},
		{
			"order", under("student", "net", "optimizer", "teacher", "model", "model_state_dict", "state_dict", "ema", "state_dict_ema", "model_ema"), Zip,
			[]group{
				{"model_ema", "", single}, {"state_dict_ema", "", single}, {"ema", "", single}, {"state_dict", "", single},
				{"model_state_dict", "", single}, {"model", "", single}, {"teacher", "", single}, {"net", "", single},
				{"", "", map[string]numbers{"student.w": single["w"]}}, {"student", "", single},
			},
		},
		{"two parts", under("encoder", "head"), Zip, []group{
			{"", "", map[string]numbers{"encoder.w": single["w"], "head.w": single["w"]}}, {"encoder", "", single}, {"head", "", single},
		}},
		{"optimizer only", under("optimizer", "optimizer_states", "lr_scheduler", "scaler", "callbacks"), Zip, nil},
		{
			"a dictionary that holds itself", zipped(t, zip.Store, "m/", "\x80\x02}q\x05("+str("w")+w+str("self")+"h\x05u.", goodStorages), Zip,
			[]group{{"", "", single}, {"self", "", single}},
		},
		{"nothing but a number", zipped(t, zip.Store, "m/", "\x80\x02K\x01.", nil), Zip, nil},
		{"one tensor", zipped(t, zip.Store, "m/", "\x80\x02"+w+".", goodStorages), Zip, nil},
		{
			"tuple of model and epoch", zipped(t, zip.Store, "m/", "\x80\x02"+tup(ordered(str("w"), w), num(1))+".", goodStorages), Zip,
			[]group{{"", "", map[string]numbers{"0.w": single["w"]}}, {"0", "", single}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Detect(tt.data); got != tt.kind {
				t.Errorf("Detect = %q, want %q", got, tt.kind)
			}
			c, err := Parse(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			var got []group
			for _, x := range c.Candidates {
				got = append(got, group{x.Name, x.Class, readAll(t, x)})
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("candidates differ (-want +got):\n%s", diff)
			}
		})
	}
}

// one parses a checkpoint whose only tensor is "w", made by the given opcodes.
func one(t *testing.T, opcodes string, storages map[string][]byte) raw.Lazy {
	t.Helper()
	matrix := rebuilt(store("FloatStorage", "m", 1), 0, nums(1, 1), nums(1, 1))
	with := maps.Clone(storages)
	with["m"] = floats(0)
	c, err := Parse(zipped(t, zip.Store, "m/", program(str("matrix"), matrix, str("w"), opcodes), with))
	if err != nil {
		t.Fatal(err)
	}
	w, ok := c.Candidates[0].Tensors["w"]
	if !ok {
		t.Fatal("w is not among the tensors")
	}
	return w
}

// TestTensors checks the forms in which PyTorch wrote tensors over the years.
func TestTensors(t *testing.T) {
	t.Parallel()
	s := store("FloatStorage", "0", 6)
	v2 := rebuilt(s, 1, nums(2, 2), nums(2, 1))
	hooks := ordered()
	part := func(from, n int) string {
		return store("FloatStorage", "0", 6, tup(str("part"), num(from), num(n)))
	}
	half := []byte{0x00, 0x3c, 0x00, 0xc0, 0, 0, 0, 0}
	bf16 := []byte{0x80, 0x3f, 0x00, 0xc0, 0, 0, 0, 0}
	nested := legacy("\x80\x02"+store("FloatStorage", "7", 6)+".", []string{"7"}, map[string][]byte{"7": goodStorages["0"]}, nil)
	nestedBytes := "B" + string([]byte{byte(len(nested)), byte(len(nested) >> 8), 0, 0}) + string(nested)
	for _, tt := range []struct {
		name, opcodes string
		want          []float32
	}{
		{"_rebuild_tensor_v2", v2, []float32{2, 3, 4, 5}},
		{"_rebuild_tensor", name("torch._utils", "_rebuild_tensor") + tup(s, num(1), nums(2), nums(1)) + "R", []float32{2, 3}},
		{"cuda", rebuilt(tup(str("storage"), name("torch.cuda", "FloatStorage"), str("0"), str("cuda:0"), num(6))+"Q", 4, nums(2), nums(1)), []float32{5, 6}},
		{"_rebuild_parameter", name("torch._utils", "_rebuild_parameter") + tup(v2, "\x88", hooks) + "R", []float32{2, 3, 4, 5}},
		{"with state", name("torch._utils", "_rebuild_parameter_with_state") + tup(v2, "\x88", hooks, "}") + "R", []float32{2, 3, 4, 5}},
		{"Parameter of 0.3", name("torch.nn.parameter", "Parameter") + tup(v2) + "R" + tup("\x88", "\x89", hooks) + "b", []float32{2, 3, 4, 5}},
		{"torch.Size", rebuilt(s, 0, name("torch", "Size")+tup(nums(2, 3))+"R", nums(3, 1)), []float32{1, 2, 3, 4, 5, 6}},
		{"part of a storage", rebuilt(part(2, 3), 1, nums(2), nums(1)), []float32{4, 5}},
		{"part that is none", rebuilt(store("FloatStorage", "0", 6, "N"), 1, nums(2), nums(1)), []float32{2, 3}},
		{"every other", rebuilt(s, 1, nums(3), nums(2)), []float32{2, 4, 6}},
		{"of one row", rebuilt(s, 0, nums(1, 3), nums(77, 1)), []float32{1, 2, 3}},
		{"scalar", rebuilt(s, 5, ")", ")"), []float32{6}},
		{"empty", rebuilt(s, 0, nums(0, 3), nums(3, 1)), []float32{}},
		{"half", rebuilt(store("HalfStorage", "h", 4), 0, nums(2), nums(1)), []float32{1, -2}},
		{"bfloat16", rebuilt(store("BFloat16Storage", "b", 4), 0, nums(2), nums(1)), []float32{1, -2}},
		{
			"_rebuild_tensor_v3", name("torch._utils", "_rebuild_tensor_v3") +
				tup(tup(str("storage"), name("torch.storage", "UntypedStorage"), str("b"), str("cpu"), num(8))+"Q",
					num(1), nums(1), nums(1), "\x89", hooks, name("torch", "bfloat16")) + "R", []float32{-2},
		},
		{"storage in the pickle", rebuilt(name("torch.storage", "_load_from_bytes")+nestedBytes+"\x85R", 1, nums(2), nums(1)), []float32{2, 3}},
		{
			"of an array on a device", name("torch._utils", "_rebuild_device_tensor_from_numpy") + tup(
				name("numpy.core.multiarray", "_reconstruct")+"(tR"+tup("K\x01", nums(2), name("numpy", "dtype")+tup(str("f2"), "\x89", "\x88")+"R"+
					tup("K\x03", str("<"))+"b", "\x89", "C\x04\x00\x3c\x00\xc0")+"b",
				name("torch", "float16"), str("xla:0"), "\x89") + "R", []float32{1, -2},
		},
		{
			"array in Fortran's order", name("numpy.core.multiarray", "_reconstruct") + "(tR" + tup("K\x01", nums(2, 3), name("numpy", "dtype")+
				tup(str("f4"))+"R", "\x88", "C\x18"+string(goodStorages["0"])) + "b", []float32{1, 3, 5, 2, 4, 6},
		},
		{
			"array of Python 2", name("numpy._core.multiarray", "_reconstruct") + "(tR" + tup("K\x01", nums(3), name("numpy", "dtype")+
				tup(str("<f4"))+"R", "\x89", "U\x0c"+string(goodStorages["1"])) + "b", []float32{7, 8, 9},
		},
		{
			"array of protocol 5", name("numpy.core.numeric", "_frombuffer") + tup("\x96\x0c\x00\x00\x00\x00\x00\x00\x00"+string(goodStorages["1"]),
				name("numpy", "dtype")+tup(str("f4"))+"R", nums(3), str("C")) + "R", []float32{7, 8, 9},
		},
		{"attributes set", v2 + "}b", []float32{2, 3, 4, 5}},
		{"in a duplicate on the stack", v2 + "20", []float32{2, 3, 4, 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := one(t, tt.opcodes, map[string][]byte{"0": goodStorages["0"], "h": half, "b": bf16}).Read()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("read %v, want %v", got, tt.want)
			}
		})
	}
}

// TestUnreadable checks that tensors that cannot be read do not spoil the file: only who wants them gets an error.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	s := store("FloatStorage", "0", 6)
	for _, tt := range []struct{ name, opcodes, wrong string }{
		{"storage missing", rebuilt(store("FloatStorage", "9", 6), 0, nums(6), nums(1)), "m/data/9 is not in the file"},
		{"storage shorter", rebuilt(store("FloatStorage", "0", 7), 0, nums(7), nums(1)), "has 24 bytes, want 28"},
		{"storage longer", rebuilt(store("FloatStorage", "0", 5), 0, nums(5), nums(1)), "has 24 bytes, want at most 20"},
		{"beyond storage", rebuilt(s, 1, nums(6), nums(1)), "reaches elements 1 to 6"},
		{"beyond the part", rebuilt(store("FloatStorage", "0", 6, tup(str("p"), num(2), num(3))), 1, nums(3), nums(1)), "reaches elements 1 to 3"},
		{"negative offset", rebuilt(s, -1, nums(2), nums(1)), "reaches"},
		{"stride too long", rebuilt(s, 0, nums(2, 3), nums(4, 1)), "reaches elements 0 to 6"},
		{"negative stride", rebuilt(s, 0, nums(2), nums(-1)), "stride"},
		{"negative dimension", rebuilt(s, 0, nums(-2), nums(1)), "negative"},
		{"expanded", rebuilt(s, 0, nums(1000, 1000), nums(0, 0)), "more elements than the 6"},
		{"strides missing", rebuilt(s, 0, nums(2, 3), nums(1)), "2 dimensions but 1 strides"},
		{
			"array shorter than its shape", name("numpy.core.multiarray", "_reconstruct") + "(tR" + tup("K\x01", nums(2), name("numpy", "dtype")+
				tup(str("f4"))+"R", "\x89", "C\x0c"+string(goodStorages["1"])) + "b", "has 3 elements, its shape [2] wants 2",
		},
		{
			"array that is not spelled in latin-1", name("numpy.core.multiarray", "_reconstruct") + "(tR" + tup("K\x01", nums(1), name("numpy", "dtype")+
				tup(str("f2"))+"R", "\x89", name("_codecs", "encode")+tup(str("a猫"), str("latin1"))+"R") + "b", "latin-1",
		},
		{"integers", rebuilt(store("LongStorage", "0", 3), 0, nums(3), nums(1)), "type I64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := one(t, tt.opcodes, map[string][]byte{"0": goodStorages["0"]}).Read()
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("Read: error %v, want one with %q", err, tt.wrong)
			}
		})
	}
}

// TestRefusals checks that files that are wrong end in an error that says what.
func TestRefusals(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "sys_info", Size: 1, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	pickled := func(s string) []byte { return zipped(t, zip.Store, "m/", s, goodStorages) }
	for _, tt := range []struct {
		name  string
		data  []byte
		wrong string
	}{
		{"call of os.system", pickled("\x80\x02cposix\nsystem\n(X\x02\x00\x00\x00idtR."), "calls posix.system"},
		{"call of eval by stack", pickled("\x80\x04" + str("builtins") + str("eval") + "\x93" + str("1") + "\x85R."), "calls builtins.eval"},
		{"INST of Popen", pickled("\x80\x02(" + str("id") + "isubprocess\nPopen\n."), "calls subprocess.Popen"},
		{"OBJ of Popen", pickled("\x80\x02(csubprocess\nPopen\n" + str("id") + "o."), "calls subprocess.Popen"},
		{"NEWOBJ of Popen", pickled("\x80\x02csubprocess\nPopen\n" + str("id") + "\x85\x81."), "calls subprocess.Popen"},
		{"NEWOBJ_EX of Popen", pickled("\x80\x02csubprocess\nPopen\n)}\x92."), "calls subprocess.Popen"},
		{"through a persistent id", pickled("\x80\x02" + tup(str("module"), "cnt\nsystem\n", "N", "N") + "Q)R."), "calls nt.system"},
		{"protocol", pickled("\x80\x09."), "protocol 9"},
		{"unknown opcode", pickled("\x80\x02\xff."), "opcode 0xff"},
		{"buffer outside of the file", pickled("\x80\x05\x97."), "opcode 0x97"},
		{"stack empty", pickled("\x80\x02."), "stack is empty"},
		{"tuple without mark", pickled("\x80\x02t."), "no mark"},
		{"memo", pickled("\x80\x02h\x07."), "memo has no entry 7"},
		{"ends", pickled("\x80\x02"), "ends"},
		{"ends in string", pickled("\x80\x02X\xff\x00\x00\x00a"), "ends"},
		{"odd items", pickled(program(str("a"))), "key without value"},
		{"storage of another class", pickled("\x80\x02" + store("OddStorage", "0", 1) + "."), "torch.OddStorage"},
		{"storage of no class", pickled("\x80\x02" + tup(str("storage"), num(1), str("0"), str("cpu"), num(6)) + "Q."), "storage id is (number"},
		{"storage id short", pickled("\x80\x02" + tup(str("storage")) + "Q."), "1 elements"},
		{"storage twice", pickled("\x80\x02" + store("FloatStorage", "0", 6) + store("FloatStorage", "0", 7) + "."), "described twice"},
		{"part outside", pickled("\x80\x02" + store("FloatStorage", "0", 6, tup(str("p"), num(4), num(3))) + "."), "its part is (4, 3)"},
		{"big-endian", bytes.Replace(legacy(goodPickle, nil, nil, nil), []byte("little_endian\x88"), []byte("little_endian\x89"), 1), "big-endian"},
		{"storage of no tensor", legacy(goodPickle, []string{"7"}, nil, nil), "belongs to no tensor"},
		{"zip of something else", zipped(t, zip.Store, "", "", nil)[:0], "not a PyTorch checkpoint"},
		{"tar", archive.Bytes(), "tar format of PyTorch before 0.1.10"},
		{"cut zip", pickled(goodPickle)[:300], "truncated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Parse(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("Parse = %v, error %v, want one with %q", c, err, tt.wrong)
			}
		})
	}
}

// TestInert checks that unknown functions and classes are kept as they are written, whatever the opcode, and never called.
func TestInert(t *testing.T) {
	t.Parallel()
	made := func(args ...any) *object { return &object{class: "my.code f", args: args} }
	withState := made(int64(1))
	withState.state = "s"
	for _, tt := range []struct {
		name, opcodes string
		want          any
	}{
		{"REDUCE", name("my.code", "f") + nums(1) + "R", made(int64(1))},
		{"NEWOBJ", name("my.code", "f") + nums(1) + "\x81", made(int64(1))},
		{"NEWOBJ_EX", name("my.code", "f") + nums(1) + "}\x92", made(int64(1))},
		{"INST", "(K\x01imy.code\nf\n", made(int64(1))},
		{"OBJ", "(" + name("my.code", "f") + "K\x01o", made(int64(1))},
		{"BUILD", name("my.code", "f") + nums(1) + "R" + str("s") + "b", withState},
		{"a call of a call", name("my.code", "f") + ")R" + nums(2) + "R", &object{args: tuple{int64(2)}}},
		{"a class by itself", name("posix", "system"), global("posix system")},
		{"EXT1", "\x82\x07)R", &object{class: "copyreg extension "}},
		{"persistent id of a class", tup(str("module"), name("my.code", "f"), "N", "N") + "Q", global("my.code f")},
		{"persistent id of another", tup(str("what")) + "Q", &object{class: "persistent id", args: tuple{"what"}}},
		{"PERSID", "P12\n", &object{class: "persistent id", args: tuple{blob("12")}}},
		{"POP, POP_MARK, DUP", "K\x01K\x020(NN12\x86", tuple{int64(1), int64(1)}},
		{"set item in an object", name("my.code", "f") + ")R" + str("k") + "Ns", &object{class: "my.code f", entries: []dictEntry{{"k", nil}}}},
		{"LONG4", "\x8b\x03\x00\x00\x00\x00\x00\x80", int64(-1 << 23)},
		{"LONG1 of 9 bytes that fits", "\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\xff", int64(-1)},
		{"LONG1 of 9 bytes that does not", "\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00", huge{}},
		{"LONG1 of 0 bytes", "\x8a\x00", int64(0)},
		{"BINUNICODE8", "\x8d\x02\x00\x00\x00\x00\x00\x00\x00ab", "ab"},
		{"BINBYTES8", "\x8e\x02\x00\x00\x00\x00\x00\x00\x00ab", blob("ab")},
		{"BYTEARRAY8, READONLY_BUFFER", "\x96\x02\x00\x00\x00\x00\x00\x00\x00ab\x98", blob("ab")},
		{"FRAME, MEMOIZE", "\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94h\x00\x86", tuple{"a", "a"}},
		{"LONG_BINPUT, LONG_BINGET", "K\x01r\x00\x01\x00\x00j\x00\x01\x00\x00\x86", tuple{int64(1), int64(1)}},
		{"Python 2's strings", "U\x01aT\x01\x00\x00\x00\xe9S'b\\n\\'\\xe9\\q'\n\x87", tuple{"a", "\xe9", "b\n'\xe9\\q"}},
		{"UNICODE", "Vna\xefve \\u732b\\U0001f600\\x\n", "naïve 猫😀\\x"},
		{"INT, LONG, FLOAT", "I01\nI-5\nL99999999999999999999L\nF0.5\n(I00\nL7L\nl", &list{[]any{false, int64(7)}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			steps := maxSteps
			text := tt.opcodes + "."
			got, n, err := newMachine(&steps).run([]byte(text))
			if err != nil || n != len(text) {
				t.Fatalf("run = %v, %d bytes of %d, error %v", got, n, len(text), err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(object{}, list{}, dictEntry{}, huge{}), cmp.Comparer(func(a, b tuple) bool {
				return fmt.Sprint(a...) == fmt.Sprint(b...)
			})); diff != "" {
				t.Errorf("value differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDictOfPairs checks OrderedDict as Python 2 pickled it: called with a list of lists.
func TestDictOfPairs(t *testing.T) {
	t.Parallel()
	w := rebuilt(store("FloatStorage", "0", 6), 0, nums(2, 3), nums(3, 1))
	pairs := name("collections", "OrderedDict") + "(](](U\x01aK\x01e](U\x01w" + w + "eetR"
	c, err := Parse(zipped(t, zip.Store, "m/", "\x80\x02"+pairs+".", goodStorages))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Candidates[0].Tensors; len(got) != 1 || got["w"].Shape[0] != 2 || c.Facts["a"] != int64(1) {
		t.Errorf("tensors %v, facts %v", got, c.Facts)
	}
}

// TestModules checks the classes of a whole model's parts, and that TorchScript is read as one.
func TestModules(t *testing.T) {
	t.Parallel()
	c, err := Parse(golden(t, "whole.pt"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"": "my.models.Net", "conv1": "torch.nn.modules.conv.Conv2d", "bn1": "torch.nn.modules.batchnorm.BatchNorm2d",
		"fc": "torch.nn.modules.container.Sequential", "fc.0": "torch.nn.modules.dropout.Dropout", "fc.1": "torch.nn.modules.linear.Linear",
	}
	if diff := cmp.Diff(want, c.Candidates[0].Modules); diff != "" {
		t.Errorf("modules differ (-want +got):\n%s", diff)
	}

	script := func(class, attributes string) string {
		return name(class[:strings.LastIndex(class, ".")], class[strings.LastIndex(class, ".")+1:]) + ")\x81}(" + attributes + "ub"
	}
	w := rebuilt(store("FloatStorage", "0", 6), 0, nums(2, 3), nums(3, 1))
	conv := script("__torch__.torch.nn.modules.conv.___torch_mangle_25.Conv2d", str("weight")+w+str("bias")+"N"+
		str("padding")+name("torch.jit._pickle", "build_intlist")+"](K\x03K\x03e\x85R")
	net := "\x80\x02" + script("__torch__.my.___torch_mangle_0.Net", str("training")+"\x89"+str("conv1")+conv) + "."
	if c, err = Parse(zipped(t, zip.Store, "net/", net, goodStorages)); err != nil {
		t.Fatal(err)
	}
	got := c.Candidates[0]
	if diff := cmp.Diff(map[string]string{"": "my.Net", "conv1": "torch.nn.modules.conv.Conv2d"}, got.Modules); diff != "" {
		t.Errorf("modules differ (-want +got):\n%s", diff)
	}
	if keys := slices.Collect(maps.Keys(got.Tensors)); !slices.Equal(keys, []string{"conv1.weight"}) || got.Class != "my.Net" || c.Facts["class"] != "my.Net" {
		t.Errorf("tensors %v, class %q, facts %v", keys, got.Class, c.Facts)
	}
}

// TestFacts checks the plain values found beside tensors, the same from each protocol of Python's own pickler.
func TestFacts(t *testing.T) {
	t.Parallel()
	want := map[string]any{
		"true": true, "false": false, "small": int64(7), "byte": int64(200), "short": int64(60000), "negative": int64(-5),
		"int": int64(-70000), "long": int64(1 << 40), "least": int64(-1 << 63), "float": -0.125,
		"text": "naïve 猫 \\u \n 'quoted'", "long text": strings.Repeat("x", 300), "very long text": strings.Repeat("y", 5000),
		"numbers": []float64{0.485, 0.456, 1}, "set": []float64{1}, "frozen": []float64{2},
		"ordered": map[string]int64{"a": 1, "b": 2}, "ordered.a": int64(1), "ordered.b": int64(2),
		"default": map[string]int64{"k": 1}, "default.k": int64(1),
		"thing": map[string]int64{"a": 1}, "thing.a": int64(1),
		"namespace.arch": "resnet18", "namespace.epochs": int64(90), "namespace.lr": 0.1,
		"classes": []string{"ant", "bee"}, "idx_to_class": map[int64]string{0: "ant", 1: "bee"},
		"class_to_idx": map[string]int64{"ant": 0, "bee": 1}, "class_to_idx.ant": int64(0), "class_to_idx.bee": int64(1),
	}
	for protocol := range 6 {
		data := golden(t, fmt.Sprintf("plain-%d.pkl", protocol))
		c, err := Parse(data)
		if err != nil {
			t.Errorf("protocol %d: %v", protocol, err)
			continue
		}
		clear(data) // facts must not share the file's memory
		if diff := cmp.Diff(want, c.Facts); diff != "" {
			t.Errorf("facts of protocol %d differ (-want +got):\n%s", protocol, diff)
		}
	}
	for file, want := range map[string]map[string]any{
		"training.pt": {
			"epoch": int64(3), "args.arch": "resnet18", "args.mean": []float64{0.5, 0.5, 0.5}, "hyper_parameters.num_classes": int64(2),
		},
		"whole.pt":  {"class": "my.models.Net", "class_names": []string{"ant", "bee"}, "inplanes": int64(64), "training": false},
		"cycle.pkl": {"name": "cycle"},
	} {
		c, err := Parse(golden(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Facts); diff != "" {
			t.Errorf("facts of %s differ (-want +got):\n%s", file, diff)
		}
	}
	beside := program(str("optimizer"), ordered(str("lr"), num(1)), str("lr"), num(2))
	if c, err := Parse(zipped(t, zip.Store, "m/", beside, nil)); err != nil || !cmp.Equal(c.Facts, map[string]any{"lr": int64(2)}) {
		t.Errorf("facts beside an optimizer are %v, error %v", c.Facts, err)
	}
	latin := program(str("a"), "U\x02\xe9b", str("b"), "U\x02\xc3\xa9")
	c, err := Parse(zipped(t, zip.Store, "m/", latin, nil))
	if err != nil || c.Facts["a"] != "éb" || c.Facts["b"] != "é" {
		t.Errorf("facts of Python 2's strings are %v, error %v", c.Facts, err)
	}
}

// TestBounds checks that small files that stand for much end soon: with an error, or with little.
func TestBounds(t *testing.T) {
	t.Parallel()
	// Each tuple holds the one before twice: 2^60 values.
	doubled := strings.Repeat("2\x86", 60)
	// Each dictionary holds the one before under two names.
	var nested strings.Builder
	nested.WriteString(ordered(str("w"), rebuilt(store("FloatStorage", "0", 6), 0, nums(2, 3), nums(3, 1))))
	for range 60 {
		nested.WriteString("q\x000}(" + str("a") + "h\x00" + str("b") + "h\x00u")
	}
	items := strings.Repeat("N", 1<<16)
	copies := "](" + items + "eq\x000(" + strings.Repeat(name("collections", "OrderedDict")+"](h\x00h\x00e\x85R", 10) + "l"
	pairs := "](" + strings.Repeat("NN\x86", 1<<16) + "eq\x000(" + strings.Repeat(name("collections", "OrderedDict")+"h\x00\x85R", 1<<10) + "l"
	deep := strings.Repeat("}"+str("a"), 1<<12) + "N" + strings.Repeat("s", 1<<12)
	long := "](" + strings.Repeat(str(strings.Repeat("x", maxString)), 1<<5) + "e" // and repeated in a compressed file
	for _, tt := range []struct{ name, opcodes, wrong string }{
		{"tuples in tuples", "N" + doubled, ""},
		{"lists of them", "]N" + doubled + "a", ""},
		{"dictionaries in dictionaries", nested.String(), "too many values"},
		{"lists that are no pairs", copies, ""},
		{"copies of a dictionary", pairs, "too many steps"},
		{"deep", deep, ""},
		{"long names", long, ""},
		{"opcodes", strings.Repeat("N0", maxSteps/2+1) + "N", "too many steps"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Parse(zipped(t, zip.Deflate, "m/", "\x80\x02"+tt.opcodes+".", goodStorages))
			if tt.wrong == "" && err == nil {
				return
			}
			if tt.wrong == "" || err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("Parse = %v, error %v, want %q", c, err, tt.wrong)
			}
		})
	}
}

// TestCost checks that text is paid for by its length.
func TestCost(t *testing.T) {
	t.Parallel()
	text := str(strings.Repeat("x", maxString)) + "0"
	steps := 100
	if _, _, err := newMachine(&steps).run([]byte(text + text + "N.")); err == nil || !strings.Contains(err.Error(), "too many steps") {
		t.Errorf("run of %d bytes of text in 100 steps: error %v", 2*maxString, err)
	}
}

// TestZipEntries checks which entries of a zip file are read, and that their sizes are not believed.
func TestZipEntries(t *testing.T) {
	t.Parallel()
	parse := func(entries map[string]string, lie uint64) error {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, data := range entries {
			h := &zip.FileHeader{Name: name, UncompressedSize64: uint64(len(data)), CompressedSize64: uint64(len(data)), CRC32: crc32.ChecksumIEEE([]byte(data))}
			if lie > 0 {
				h.Method, h.UncompressedSize64 = zip.Deflate, lie
			}
			w, err := z.CreateRaw(h)
			if err == nil {
				_, err = w.Write([]byte(data))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := Parse(b.Bytes())
		return err
	}
	for _, tt := range []struct {
		name    string
		entries map[string]string
		lie     uint64
		wrong   string
	}{
		{"the shortest folder", map[string]string{"m/data.pkl": goodPickle, "m/extra/data.pkl": "?", "m/extra/b/data.pkl": "?"}, 0, ""},
		{"little-endian", map[string]string{"m/data.pkl": goodPickle, "m/byteorder": "little\n"}, 0, ""},
		{"big-endian", map[string]string{"m/data.pkl": goodPickle, "m/byteorder": "big"}, 0, "byte order"},
		{"TorchScript before data.pkl", map[string]string{"m/model.json": "{}", "m/version": "1"}, 0, "TorchScript of PyTorch before 1.4"},
		{"the first of two folders", map[string]string{"b/data.pkl": "?", "a/data.pkl": goodPickle, "c/data.pkl": "?"}, 0, ""},
		{"something else", map[string]string{"word/document.xml": ""}, 0, "no data.pkl"},
		{"a promise that deflate cannot keep", map[string]string{"m/data.pkl": "\x03\x00"}, 10000, "unpacks to 10000 bytes"},
		{"a promise that is not kept", map[string]string{"m/data.pkl": "\x03\x00"}, 1000, "EOF"},
		{"larger than pickles are", map[string]string{"m/data.pkl": "\x03\x00"}, maxProgram + 1, "at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := parse(tt.entries, tt.lie)
			if tt.wrong == "" && err != nil || tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)) {
				t.Errorf("Parse: error %v, want one with %q", err, tt.wrong)
			}
		})
	}
}

// TestLimits checks the last number that is accepted and the first that is not.
func TestLimits(t *testing.T) {
	t.Parallel()
	// memo is a tensor, or a dictionary with one, that other names stand for.
	memo := func(value string) string { return value + binput(9) + "0" }
	dictionary := func(n int, value string) string {
		var d strings.Builder
		for i := range n {
			d.WriteString(str(fmt.Sprint("k", i)) + value)
		}
		return "}(" + d.String() + "u"
	}
	nested := func(n int, value string) string {
		return strings.Repeat("}"+str("a"), n) + value + strings.Repeat("s", n)
	}
	parse := func(opcodes string) (*Content, error) {
		return Parse(bare(t, zip.Store, "", "\x80\x02"+opcodes+".", unitStorages))
	}
	for _, test := range []struct {
		name    string
		opcodes func(n int) string
		most    int
		count   func(c *Content) int // what is counted; all of it up to most, and no more
		problem string               // with more; empty if the rest is left out
	}{
		{"candidates", func(n int) string { return memo("}"+str("w")+unit+"s") + dictionary(n, got(9)) }, maxCandidates - 1, // and the top
			func(c *Content) int { return len(c.Candidates) - 1 }, ""},
		{"tensors", func(n int) string { return memo(unit) + dictionary(n, got(9)) }, maxTensors,
			func(c *Content) int { return len(c.Candidates[0].Tensors) }, "too many values"},
		{"bytes of a name", func(n int) string { return "}(" + str("k") + unit + str(strings.Repeat("n", n)) + unit + "u" }, maxName,
			func(c *Content) int { return slices.Max(lengthsOf(c.Candidates[0].Tensors)) }, ""},
		{"keys", func(n int) string { return dictionary(n, "N") }, maxKeys, func(c *Content) int { return len(c.Keys) }, ""},
		{"facts", func(n int) string { return dictionary(n, "K\x01") }, maxFacts, func(c *Content) int { return len(c.Facts) }, ""},
		{"depth of facts", func(n int) string { return nested(n, "K\x01") }, maxFactDepth,
			func(c *Content) int { return (slices.Max(lengthsOf(c.Facts)) + 1) / len("a.") }, ""},
	} {
		for more := range 2 {
			c, err := parse(test.opcodes(test.most + more))
			switch {
			case more > 0 && test.problem != "":
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("%s: more than %d: error %v, want one with %q", test.name, test.most, err, test.problem)
				}
			case err != nil:
				t.Errorf("%s: %v", test.name, err)
			case more == 0 && test.count(c) != test.most, test.count(c) > test.most:
				t.Errorf("%s: %d of %d, want at most %d", test.name, test.count(c), test.most+more, test.most)
			}
		}
	}
	// Products that would wrap around.
	if err := checkView(&storage{count: 1 << 25}, 0, []int{1<<24 + 1}, []int{1 << 40}); err == nil {
		t.Error("a view of strides that wrap around gives no error")
	}
	data := legacy(program(str("a"), unit), []string{"0"}, nil, nil)
	copy(data[len(data)-8:], "\x00\x00\x00\x00\x00\x00\x00\x40")
	if _, err := Parse(data); err == nil || !strings.Contains(err.Error(), "has 4611686018427387904 elements") {
		t.Errorf("a storage of 2^62 elements: error %v", err)
	}
}

func lengthsOf[V any](m map[string]V) []int {
	var n []int
	for name := range m {
		n = append(n, len(name))
	}
	return n
}

// TestZipBounds checks that what a zip file says of itself is not believed.
func TestZipBounds(t *testing.T) {
	t.Parallel()
	w := rebuilt(store("FloatStorage", "0", 64<<20), 0, nums(1024, 1024, 64), nums(65536, 64, 1))
	large := program(str("a"), w, str("b"), w, str("c"), w)
	c, err := Parse(zipped(t, zip.Store, "m/", large, map[string][]byte{"0": nil}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Candidates[0].Tensors["a"].Read(); err == nil || !strings.Contains(err.Error(), "has 0 bytes") {
		t.Errorf("Read of a storage that is too short: error %v", err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	const entries = zipdir.MaxBytes / 200
	for i := range entries {
		if _, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%0200d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(b.Bytes()); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("Parse of a zip file with %d entries: error %v", entries, err)
	}
}

// TestInflatable checks that compressed entries unpack to no more bytes together than they may, and that others do not count.
func TestInflatable(t *testing.T) {
	t.Parallel()
	for method, most := range map[uint16]int{zip.Deflate: 2, zip.Store: 9} {
		data := zipped(t, method, "", goodPickle, goodStorages)
		archive, err := zipdir.Open(data)
		if err != nil {
			t.Fatal(err)
		}
		z := archived{data: data, files: map[string]*zip.File{}, inflatable: 2 * 24}
		for _, f := range archive.File {
			z.files[f.Name] = f
		}
		read := 0
		for err == nil && read < 9 {
			if _, err = z.read("data/0", 24); err == nil {
				read++
			}
		}
		if read != most || most < 9 && !strings.Contains(err.Error(), "of which 0 may be unpacked") {
			t.Errorf("method %d: an entry of 24 bytes was read %d times, want %d; error %v", method, read, most, err)
		}
	}
}

// TestFactBytes checks what facts count for, and that the last that fits is noted.
func TestFactBytes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value any
		bytes int
	}{
		{"text", 4},
		{[]string{"ab", "cde"}, 2*16 + 5},
		{[]float64{1, 2, 3}, 3 * 8},
		{map[string]string{"a": "bc", "d": ""}, 2*64 + 4},
		{map[string]int64{"ab": 1}, 64 + 2},
		{map[int64]string{1: "abc"}, 64 + 3},
		{true, 0},
		{0.5, 0},
	} {
		bytes := test.bytes + 64 + len("path")
		for over := range 2 {
			w := factWalker{facts: map[string]any{}, bytes: maxFactBytes - bytes + over}
			w.set("path", test.value)
			if len(w.facts) != 1-over || w.bytes != maxFactBytes-over*(bytes-1) {
				t.Errorf("%v with room for %d bytes: noted %v, %d bytes left", test.value, bytes-over, w.facts, maxFactBytes-w.bytes)
			}
		}
	}
	for n, want := range map[int]bool{maxFactBytes: false, maxFactBytes + 1: true} {
		one := strings.Repeat("x", 1<<10)
		values := slices.Repeat([]any{one, int64(1)}, n>>10)
		if got := tooLong(append(values, one[:n%(1<<10)])); got != want {
			t.Errorf("tooLong of strings of %d bytes = %t, want %t", n, got, want)
		}
	}
}

// TestBudget checks that tensors are read up to raw.MaxElements together, and that each storage is unpacked once.
func TestBudget(t *testing.T) {
	t.Parallel()
	fetched := 0
	from := &source{fetch: func(*storage) ([]byte, error) { fetched++; return make([]byte, 4), nil }}
	s := &storage{key: "0", dtype: raw.F32, elements: 1, count: 1}
	for range 3 {
		if _, err := from.read(newView(s, 0, []int{1}, []int{1})); err != nil {
			t.Fatal(err)
		}
	}
	if fetched != 1 {
		t.Errorf("storage fetched %d times", fetched)
	}
	if err := from.budget.Spend(raw.MaxElements - 3); err != nil {
		t.Fatal(err)
	}
	if _, err := from.read(newView(s, 0, []int{1}, []int{1})); err == nil {
		t.Error("more than raw.MaxElements elements are read")
	}
}

// TestConcurrentReads checks, with the race detector, that tensors may be read at the same time.
func TestConcurrentReads(t *testing.T) {
	t.Parallel()
	c, err := Parse(zipped(t, zip.Deflate, "m/", goodPickle, goodStorages))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		for name, lazy := range c.Candidates[0].Tensors {
			wg.Go(func() {
				if _, err := lazy.Read(); err != nil {
					t.Errorf("read %q: %v", name, err)
				}
			})
		}
	}
	wg.Wait()
}

// TestOptimizerIsNotRead checks that memory is taken for what is read, not for what the file holds.
func TestOptimizerIsNotRead(t *testing.T) {
	const n = 4 << 20
	big := rebuilt(store("HalfStorage", "1", n), 0, nums(n/4, 4), nums(4, 1))
	pickle := program(
		str("state_dict"), ordered(str("w"), rebuilt(store("FloatStorage", "0", 6), 0, nums(2, 3), nums(3, 1))),
		str("optimizer"), ordered(str("state"), ordered("K\x00", ordered(str("exp_avg"), big))))
	data := legacy(pickle, []string{"0", "1"}, map[string][]byte{"0": goodStorages["0"], "1": make([]byte, 2*n)}, map[string]int{"1": 2})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, c.Candidates[0])
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > n/4 {
		t.Errorf("reading 6 numbers of %d took %d bytes", n, taken)
	}
}

// TestTruncated checks that a file cut anywhere is an error, not a crash.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for _, data := range [][]byte{
		zipped(t, zip.Store, "m/", goodPickle, goodStorages),
		legacy(goodPickle, []string{"1", "0"}, goodStorages, nil),
		golden(t, "plain-0.pkl"), golden(t, "plain-4.pkl"),
	} {
		for n := 0; n < len(data); n += 1 + len(data)/2000 {
			if _, err := Parse(data[:n]); err == nil {
				t.Errorf("Parse of %d of %d bytes that begin with %q gave no error", n, len(data), data[:2])
			}
		}
	}
}

// TestDamagedStorage checks that one wrong bit in a tensor's numbers is found.
func TestDamagedStorage(t *testing.T) {
	t.Parallel()
	data := zipped(t, zip.Store, "m/", goodPickle, goodStorages)
	data[bytes.Index(data, floats(8, 9))] ^= 1
	c, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Candidates[0].Tensors["b"].Read(); err == nil || !strings.Contains(err.Error(), "m/data/1 is damaged") {
		t.Errorf("Read from a file with a wrong bit: error %v", err)
	}
	if _, err = c.Candidates[0].Tensors["a.weight"].Read(); err != nil {
		t.Errorf("Read of another tensor: %v", err)
	}
}
