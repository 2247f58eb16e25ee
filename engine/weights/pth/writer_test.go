package pth

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

// The pickles written here have the opcodes that PyTorch itself emits in protocol 2.

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

// name is GLOBAL.
func name(module, name string) string { return "c" + module + "\n" + name + "\n" }

// ordered is an OrderedDict of key, value, key, value...
func ordered(items ...string) string {
	return name("collections", "OrderedDict") + ")R(" + strings.Join(items, "") + "u"
}

func store(class, key string, elements int, more ...string) string {
	return tup(append([]string{str("storage"), name("torch", class), str(key), str("cpu"), num(elements)}, more...)...) + "Q"
}

func rebuilt(storage string, offset int, shape, stride string) string {
	return name("torch._utils", "_rebuild_tensor_v2") + tup(storage, num(offset), shape, stride, "\x89", ordered()) + "R"
}

// program is a pickled OrderedDict of key, value, key, value...
func program(items ...string) string { return "\x80\x02" + ordered(items...) + "." }

func floats(v ...float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// zipped is a checkpoint of a pickle and storages.
func zipped(tb testing.TB, method uint16, prefix, pickle string, storages map[string][]byte) []byte {
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
	add(prefix+"data.pkl", []byte(pickle))
	for key, data := range storages {
		add(prefix+"data/"+key, data)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// legacy is a checkpoint of a pickle and storages, of which the sizes are in elements.
func legacy(pickle string, keys []string, storages map[string][]byte, sizes map[string]int) []byte {
	b := append([]byte("\x80\x02"), legacyMagics[0]...)
	b = append(b, "\x80\x02M\xe9\x03."...)
	b = append(b, "\x80\x02}("+str("little_endian")+"\x88u."...)
	b = append(b, pickle...)
	list := "\x80\x02]("
	for _, k := range keys {
		list += str(k)
	}
	b = append(b, list+"e."...)
	for _, k := range keys {
		size := sizes[k]
		if size == 0 {
			size = 4
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(len(storages[k])/size))
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
)
