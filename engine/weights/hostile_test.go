package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// The parts of an ONNX file: fields of messages, an operator, the whole.
func field(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func number(b []byte, num protowire.Number, v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
}

func operator(op, name, out string, in ...string) (n []byte) {
	for _, value := range in {
		n = field(n, 1, []byte(value))
	}
	return field(field(field(n, 2, []byte(out)), 3, []byte(name)), 4, []byte(op))
}

func graphOf(initializers []byte, operators ...[]byte) string {
	g := initializers
	for _, n := range operators {
		g = field(g, 1, n)
	}
	g = field(g, 11, field(nil, 1, []byte("x")))
	g = field(g, 12, field(nil, 1, []byte("y")))
	return string(field([]byte{8, 7}, 7, g))
}

// zipOf is a zip file that is mostly its directory.
func zipOf(entries int) string {
	entry := append([]byte("PK\x01\x02"), make([]byte, 42)...)
	entry[28] = 1 // length of the name
	entry = append(entry, 'a')
	const begin = 30
	directory := bytes.Repeat(entry, entries)
	end := []byte("PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff")
	end = binary.LittleEndian.AppendUint32(end, uint32(len(directory)))
	end = binary.LittleEndian.AppendUint32(end, begin)
	return "PK\x03\x04" + strings.Repeat("\x00", begin-4) + string(directory) + string(end) + "\x00\x00"
}

func safetensorsOf(header string) string {
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header
}

// TestLoadHostile checks that files made to do harm are refused in little memory and with short errors that a terminal can show. It
// is not parallel, since it counts all that is allocated meanwhile.
func TestLoadHostile(t *testing.T) { //nolint:paralleltest // see above
	const most = 64 << 20
	constant := field(nil, 5, field(field(nil, 8, []byte("c")), 9, []byte("abcd")))
	for _, test := range []struct{ name, data, problem string }{
		{"zip directory", zipOf(1<<19 - 1), "zip directory"},
		{"escapes in a name", safetensorsOf(`{"\u001b[31m":{"dtype":"F32","shape":[0,1],"data_offsets":[0,0]}}`), "such as ?[31m"},
		{"escapes in an operator", graphOf(nil, operator("\x1b[31m\u202e", "", "y", "x")), "?[31m?"},
		{"long name of an operator", graphOf(nil, operator("Conv", strings.Repeat("\x00", 8<<20), "y", "x")), "conv1: Conv"},
		{"constant from itself", graphOf(constant, operator("Identity", "", "c", "c"), operator("Conv", "", "y", "x", "c")), "conv1: Conv"},
		{"constants from each other", graphOf(constant, operator("Identity", "", "d", "c"), operator("Cast", "", "c", "d"), operator("Conv", "", "y", "x", "c")), "conv1: Conv"},
		{"axes from themselves", graphOf(constant, operator("Unsqueeze", "", "c", "c"), operator("Pad", "", "y", "x", "c")), "Pad"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.bin")
			if err := os.WriteFile(path, []byte(test.data), 0o644); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Load(path)
			text := fmt.Sprint(err)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > most {
				t.Errorf("%d bytes of file take %d MiB, want at most %d", len(test.data), got>>20, most>>20)
			}
			if !strings.Contains(text, test.problem) || len(text) > 3000 || strings.ContainsAny(text, "\x1b\u202e") {
				t.Errorf("error of %d bytes %.300q, want a short one with %q", len(text), text, test.problem)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain, ä, 猫":         "plain, ä, 猫",
		"a\x1b[2Jb\nc\u009b":  "a?[2Jb?c?",
		"broken \xff UTF-8":   "broken ? UTF-8",
		"reversed \u202egpj.": "reversed ?gpj.",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	if got := len(printable(strings.Repeat("a", 1<<20))); got > maxPrinted+3 {
		t.Errorf("a text of 1 MiB has %d bytes, want at most %d", got, maxPrinted)
	}
}
