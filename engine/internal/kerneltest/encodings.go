package kerneltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// machines lists the disassemblers by the suffix of an assembly file's name.
var machines = map[string]struct {
	commands []string // GNU objdump's names, its own machine's and as a cross tool
	flags    []string
	debian   string
}{
	"_amd64.s": {[]string{"x86_64-linux-gnu-objdump", "objdump"}, []string{"-m", "i386:x86-64", "--insn-width=15"}, "binutils"},
	"_arm64.s": {[]string{"aarch64-linux-gnu-objdump"}, []string{"-m", "aarch64"}, "binutils-aarch64-linux-gnu"},
}

// Encodings checks instructions that an assembly file spells as numbers, because Go's assembler lacks them, against their
// comments. A comment is on the line before the numbers or after them, in GNU's notation. Without GNU's objdump the test
// is skipped.
func Encodings(t testing.TB, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	code, want := numbers(t, string(text))
	if len(want) == 0 {
		t.Fatalf("%s has no instructions spelled as numbers", file)
	}
	got := disassemble(t, file, code)
	if len(got) != len(want) {
		t.Fatalf("%s: %d comments, %d instructions", file, len(want), len(got))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: instruction %d is %q, its comment says %q", file, i, got[i], want[i])
		}
	}
	t.Logf("%s: %d instructions", file, len(want))
}

// datum matches a line of assembly that is a number, maybe with a comment.
var datum = regexp.MustCompile(`^\s(BYTE|LONG|WORD)\s+\$0x([0-9A-Fa-f]+)(?:\s*// (.*))?$`)

// numbers collects the bytes of numbers and the names of instructions in comments. WORD is one instruction of arm64,
// 32 bits wide; on amd64 the generator uses LONG for as many.
func numbers(t testing.TB, text string) (code []byte, names []string) {
	t.Helper()
	before := ""
	for line := range strings.Lines(text) {
		m := datum.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			before = strings.TrimSpace(line)
			continue
		}
		value, err := strconv.ParseUint(m[2], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		width := 4
		if m[1] == "BYTE" {
			width = 1
		}
		for range width {
			code, value = append(code, byte(value)), value>>8
		}
		if comment, ok := strings.CutPrefix(before, "// "); ok {
			names = append(names, normal(comment))
		} else if m[3] != "" {
			names = append(names, normal(m[3]))
		}
		before = ""
	}
	return code, names
}

func disassemble(t testing.TB, file string, code []byte) (names []string) {
	t.Helper()
	for suffix, m := range machines {
		if !strings.HasSuffix(file, suffix) {
			continue
		}
		binary := filepath.Join(t.TempDir(), "code")
		if err := os.WriteFile(binary, code, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range m.commands {
			if _, err := exec.LookPath(name); err != nil {
				continue
			}
			out, err := exec.CommandContext(t.Context(), name, append([]string{"-D", "-b", "binary", binary}, m.flags...)...).CombinedOutput()
			if err != nil {
				t.Logf("%s: %v: %s", name, err, out) // maybe one for another machine
				continue
			}
			for line := range strings.Lines(string(out)) {
				if fields := strings.SplitN(line, "\t", 3); len(fields) == 3 { // address, bytes, name
					names = append(names, normal(fields[2]))
				}
			}
			return names
		}
		t.Skipf("no objdump for %s: install Debian's %s", suffix, m.debian)
	}
	t.Fatalf("%s: unknown machine", file)
	return nil
}

// normal makes names comparable: lower case, single spaces, no comment, decimal numbers.
func normal(name string) string {
	name, _, _ = strings.Cut(strings.ToLower(name), "//")
	name = regexp.MustCompile(`#0x[0-9a-f]+`).ReplaceAllStringFunc(name, func(n string) string {
		v, _ := strconv.ParseInt(n[3:], 16, 64)
		return "#" + strconv.FormatInt(v, 10)
	})
	return strings.Join(strings.Fields(name), " ")
}
