package pth

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
)

// binput and got are BINPUT and BINGET.
func binput(n int) string { return "q" + string(rune(n)) }
func got(n int) string    { return "h" + string(rune(n)) }

// nestedStorages is a pickle in which a storage is in the pickle of a storage, and so on.
func nestedStorages(depth int) string {
	inner := store("FloatStorage", "0", 0) + "."
	for range depth {
		blob := string(legacy("\x80\x02"+inner, []string{}, nil, nil))
		inner = name("torch.storage", "_load_from_bytes") + "B" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(blob)))) + blob + "\x85R."
	}
	return "\x80\x02" + inner
}

// TestParseBoundsHostile checks that small files do not take much memory: the memo lets a few bytes stand for anything. It is not
// parallel, since it counts all that is allocated meanwhile.
func TestParseBoundsHostile(t *testing.T) { //nolint:paralleltest // see above
	const most = 256 << 20
	rebuild := "\x80\x02(" + name("torch._utils", "_rebuild_tensor_v2") + binput(1) + "0(" + store("FloatStorage", "0", 1) + num(0)
	sixteen := nums(9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9)
	for _, test := range []struct{ name, pickle, problem string }{
		{"copies of a long list", "\x80\x02(](" + strings.Repeat("N", 500_000) + "e" + binput(1) +
			strings.Repeat("c__builtin__\nlist\n"+got(1)+"\x85RNa", 100) + "l.", "too many steps"},
		{"copies of a long dictionary", "\x80\x02(}(" + strings.Repeat("NN", 250_000) + "u" + binput(1) +
			strings.Repeat("ccopy_reg\n_reconstructor\n(cx\ny\nc__builtin__\ndict\n"+got(1)+"tRNNs", 100) + "l.", "too many steps"},
		{"tensors of too many dimensions", rebuild + sixteen + sixteen + "t" + binput(2) + "0" + strings.Repeat(got(1)+got(2)+"R", 500_000) + "l.", "too many steps"},
		{"tensors of too many elements", rebuild + nums(1<<30, 1<<30, 1<<30, 1<<30) + nums(9, 9, 9, 9) + "t" + binput(2) + "0" +
			strings.Repeat(got(1)+got(2)+"R", 500_000) + "l.", "too many steps"},
		{"storages in storages", nestedStorages(10), "inside of each other"},
		{"facts in latin-1", "\x80\x02}" + str("a") + "]" + binput(1) + "0" + "T\x00\x10\x00\x00" + strings.Repeat("\xe9", 4096) + binput(2) + "0" +
			got(1) + "(" + strings.Repeat(got(2), 50_000) + "es.", ""},
		{"long facts", "\x80\x02" + "X\x00\x00\x01\x00" + strings.Repeat("a", 1<<16) + binput(2) + "0" + str("a") + binput(3) + "0" +
			"}(" + strings.Repeat(got(3)+got(2), 50_000) + "u.", "too many values"},
		{"modules with a long list of buffers that are not saved", "\x80\x02](" + strings.Repeat(str("b"), 1000) + "e" + binput(1) + "0" +
			name("a", "Module") + ")R}(" + str("_modules") + "}" + str("_buffers") + "}" + str("_non_persistent_buffers_set") + got(1) + "ub" + binput(2) + "0" +
			str("a") + binput(3) + "0" + "}(" + strings.Repeat(got(3)+got(2), 10_000) + "u.", "too many values"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Parse([]byte(test.pickle))
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > most {
				t.Errorf("%d bytes of pickle take %d MiB, want at most %d", len(test.pickle), got>>20, most>>20)
			}
			if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("error %v, want one with %q", err, test.problem)
			}
		})
	}
}

// TestArrayLooksOnce checks that an array is not decoded again for each name that it has.
func TestArrayLooksOnce(t *testing.T) {
	t.Parallel()
	steps := maxSteps
	root, _, err := newMachine(&steps).run([]byte("\x80\x02" + name("numpy.core.multiarray", "_reconstruct") + ")R(" + num(1) + nums(1) +
		name("numpy", "dtype") + str("f4") + "\x85R\x89" + name("_codecs", "encode") + str("abcd") + str("latin1") + "\x86Rtb."))
	if err != nil {
		t.Fatal(err)
	}
	if v := tensorOf(root); v == nil || v != tensorOf(root) {
		t.Errorf("the views of one array are %p and %p, want the same", v, tensorOf(root))
	}
}

// TestArrayByteOrder checks that arrays of big-endian numbers are none: their bytes would be read as other numbers.
func TestArrayByteOrder(t *testing.T) {
	t.Parallel()
	for order, want := range map[string]bool{"<": true, "|": true, ">": false} {
		steps := maxSteps
		root, _, err := newMachine(&steps).run([]byte(name("numpy.core.multiarray", "_reconstruct") + ")R" + tup("K\x01", nums(1),
			name("numpy", "dtype")+tup(str("f4"))+"R"+tup("K\x03", str(order))+"b", "\x89", "C\x04abcd") + "b."))
		if err != nil || (tensorOf(root) != nil) != want {
			t.Errorf("order %q: tensor %v, error %v; want one: %t", order, tensorOf(root), err, want)
		}
	}
}
