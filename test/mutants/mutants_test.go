package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

// module writes a module with the given files, and changes to its folder.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.test/m\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// changes returns the changes that find makes to a file, and checks that each change yields a different file.
func changes(t *testing.T, text string) []string {
	t.Helper()
	module(t, map[string]string{"a.go": text})
	_, pkgs, err := load(t.Context(), []string{"."})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range find(pkgs[0].files[0]) {
		list = append(list, m.change)
		if string(m.apply()) == text {
			t.Errorf("%s changes nothing", m.change)
		}
	}
	slices.Sort(list)
	return list
}

func TestFind(t *testing.T) {
	tests := []struct {
		name, code string
		want       []string
	}{
		{"orders are turned and moved by one", `func f(a, b int) bool { return a < b }`,
			[]string{"a < b -> a <= b", "a < b -> a >= b"}},
		{"equality is turned", `func f(a, b string) bool { return a == b }`, []string{"a == b -> a != b"}},
		{"operators are exchanged", `func f(a, b int) int { return a+b*a }`,
			[]string{"a+b*a -> a-b*a", "b*a -> b/a"}},
		{"strings are not subtracted", `func f(a, b string) string { return a + b }`, nil},
		{"and, or, and what they join", `func f(a, b bool) bool { return a && !b }`,
			[]string{"!b -> b", "a && !b -> a || !b", "a -> !a"}},
		{"conditions of if, for and switch are turned",
			`func f(a, b, c bool) { if a { println() }; for b { println() }; switch { case c: println() } }`,
			[]string{"a -> !a", "b -> !b", "c -> !c", "without println()", "without println()", "without println()"}},
		{"numbers", `const a, b, c = 7, 1, 0`, []string{"0 -> 1", "1 -> 0", "1 -> 2", "7 -> 0", "7 -> 14", "7 -> 8"}},
		{"factors", `const a = 0.25`, []string{"0.25 -> 0.0", "0.25 -> 0.5"}},
		{"durations, by their number or as a whole", `import "time"
			const a, b, c = 2*time.Second, time.Minute, float64(time.Hour)
			func f(d time.Duration) time.Duration { return d-time.Millisecond }`,
			[]string{"2*time.Second -> 0*time.Second", "2*time.Second -> 3*time.Second", "2*time.Second -> 4*time.Second",
				"d-time.Millisecond -> d+time.Millisecond", "d-time.Millisecond -> d-0", "d-time.Millisecond -> d-2*time.Millisecond",
				"time.Minute -> 0", "time.Minute -> 2*time.Minute"}},
		{"truths", `var a = f(true); func f(bool) bool { return false }`, []string{"f(true) -> f(false)", "false -> true"}},
		{"min and max", `func f(a, b int) int { return min(a, b) }`, []string{"min(a, b) -> max(a, b)"}},
		{"a function named min is not the language's", `func min(a int) int { return a }; func f(a int) int { return min(a) }`, nil},
		{"assignments, not declarations", `func f() int { a := g(); a = g(); a += g(); _ = a; return a }; func g() int { return f() }`,
			[]string{"a += g() -> a -= g()", "without a = g()"}},
		{"steps", `func f(a int) int { a++; return a }`, []string{"a++ -> a--"}},
		{"calls, sends, early ends", `func f(c chan int) { for { select { case <-c: continue; default: }; c <- 2-2; g(); go g(); defer g(); return } }; func g() {}`,
			[]string{"2-2 -> 0-2", "2-2 -> 2+2", "2-2 -> 2-0", "2-2 -> 2-3", "2-2 -> 2-4", "2-2 -> 3-2", "2-2 -> 4-2",
				"without c <- 2-2", "without continue", "without defer g()", "without g()", "without go g()", "without return"}},
		{"the last return is no statement to miss", `func f() { println(); return }`, []string{"without println()"}},
		{"errors are not told", `func f() (int, error) { if err := g(); err != nil { return 5-5, err }; return 5-5, nil }; func g() error { return g() }`,
			[]string{"5-5 -> 0-5", "5-5 -> 0-5", "5-5 -> 10-5", "5-5 -> 10-5", "5-5 -> 5+5", "5-5 -> 5+5", "5-5 -> 5-0", "5-5 -> 5-0",
				"5-5 -> 5-10", "5-5 -> 5-10", "5-5 -> 5-6", "5-5 -> 5-6", "5-5 -> 6-5", "5-5 -> 6-5",
				"err != nil -> err == nil", "err -> nil", "g() -> nil"}},
		{"texts for people stay", `import ("errors"; "fmt"; "log/slog")
			func f(l *slog.Logger) { l.Info("x", "n", 3); slog.Warn("y", "n", 4); panic(5) }
			func g() string { return fmt.Errorf("z %d", 6).Error() }
			var _ = errors.New("w")`, nil},
		{"locks stay", `import "sync"
			type s struct { sync.Mutex; r sync.RWMutex }
			func (s *s) f() { s.Lock(); defer s.Unlock(); s.r.RLock(); s.r.RUnlock() }`, nil},
		{"what is only held too long stays", `import ("context"; "os")
			func f(x *os.File, cancel context.CancelFunc) { defer x.Close(); defer cancel() }`, nil},
		{"sizes that only reserve memory stay", `func f(n int) ([]int, map[int]int, chan int) { return make([]int, n, 8), make(map[int]int, 8), make(chan int, 8) }`,
			[]string{"make(chan int, 8) -> make(chan int, 0)", "make(chan int, 8) -> make(chan int, 16)", "make(chan int, 8) -> make(chan int, 9)"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, changes(t, "package m\n"+test.code)); diff != "" {
				t.Errorf("changes of %s (-want +got):\n%s", test.code, diff)
			}
		})
	}
}

// TestSchemaDoesWhatSingleMutantsDo checks that mutants built together have the same results as mutants built alone.
func TestSchemaDoesWhatSingleMutantsDo(t *testing.T) {
	code := `package m

import (
	"errors"
	"fmt"
	"time"
)

const fixed = 3

type level uint8

type box struct{ n map[string]int }

var table = [2]int{0: 5, 1: 6}

var errOdd = errors.New("odd")

func half(n int) (int, error) {
	if n%2 != 0 {
		return 0, fmt.Errorf("half of %d: %w", n, errOdd)
	}
	return n / 2, nil
}

func (b *box) add(name string, by level) bool {
	if b.n == nil {
		b.n = map[string]int{}
	}
	b.n[name] += int(by<<1 | 1)
	return b.n[name] > 1<<2 && !(by == 0)
}

func Run() string {
	b, total, wait := box{}, 0.25, 2*time.Second+time.Millisecond
	for i, j := 0, 9; i < j; i, j = i+1, j-1 {
		switch {
		case i == 2:
			continue
		case b.add("x", level(i)) || i > 5:
			total += 1.5 * float64(i)
		}
		if i == fixed {
			break
		}
	}
	var n int
	for n = 0; n < 4; n++ {
		if h, err := half(n); err == nil {
			defer func() { total -= float64(h) }()
			total *= 2
		}
	}
	c := make(chan int, 1)
	go func() { c <- min(table[0], table[1]) }()
	select {
	case got := <-c:
		n = got
	case <-time.After(10 * time.Second):
	}
	return fmt.Sprint(b.n, total, max(wait, time.Second), n)
}
`
	module(t, map[string]string{"m.go": code, "m_test.go": `package m

import "testing"

func TestRun(t *testing.T) {
	if got := Run(); got != "map[x:11] 19 2.001s 5" {
		t.Error(got)
	}
}
`})
	outcomes := func(args ...string) []string {
		t.Helper()
		var out, messages strings.Builder
		if err := run(t.Context(), append(args, "-v", "-j", "2", "-timeout", "2s", "."), &out, &messages); err != nil || strings.Contains(messages.String(), "one by one") {
			t.Fatalf("run(%q): %v\n%s", args, err, messages.String())
		}
		var lines []string
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "m.go:") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	alone := "4" // each is built by itself, which takes a second
	if slow {
		alone = "12"
	}
	together := outcomes()
	for _, alone := range outcomes("-single", "-n", alone) {
		if !slices.Contains(together, alone) {
			t.Errorf("alone: %swhich is not among those together:\n%s", alone, strings.Join(together, ""))
		}
	}

	_, pkgs, err := load(t.Context(), []string{"."})
	if err != nil {
		t.Fatal(err)
	}
	var compile []*mutant
	for _, m := range find(pkgs[0].files[0]) {
		if m.compiles() {
			compile = append(compile, m)
		}
	}
	s, err := newSchema(pkgs[0], compile)
	if err != nil {
		t.Fatal(err)
	}
	var single []string
	for _, m := range compile {
		if s.numbers[m] == 0 {
			single = append(single, m.change)
		}
	}
	if want := []string{"3 -> 4", "3 -> 6", "3 -> 0", "[2]int -> [3]int", "[2]int -> [4]int"}; !slices.Equal(single, want) {
		t.Errorf("not in the schema are %q, want only those of constants and types, %q", single, want)
	}
}

func TestGeneratedFilesHaveNoMutants(t *testing.T) {
	if got := changes(t, "// Code generated by x. DO NOT EDIT.\n\npackage m\n\nconst a = 3\n"); got != nil {
		t.Errorf("changes of a generated file = %q, want none", got)
	}
}

// TestKeyHoldsWhenLinesMove checks the same line in two places of a file, with another comment.
func TestKeyHoldsWhenLinesMove(t *testing.T) {
	keys := func(text string) key {
		module(t, map[string]string{"a.go": text})
		_, pkgs, err := load(t.Context(), []string{"."})
		if err != nil {
			t.Fatal(err)
		}
		return find(pkgs[0].files[0])[0].key()
	}
	want := key{"a.go", "const n = 7", "7 -> 8"}
	for _, text := range []string{"package m\nconst n = 7 // seven\n", "package m\n\n\n/* so */  const   n = 7"} {
		if got := keys(text); got != want {
			t.Errorf("key in %q = %q, want %q", text, got, want)
		}
	}
}

// TestRun mutates a package whose tests detect some mutants and not others, with each possible result of a trial.
func TestRun(t *testing.T) {
	files := map[string]string{
		"pay/pay.go": `// Package pay is broken in tests.
package pay

func Total(a, b int) int { return a + b }

func Rounds(n int) (rounds int) {
	for n > 1 {
		n = n / 2
		rounds++
	}
	return rounds
}

func Untested(a int) int { return a * 3 }

func Known(a int) int { return a - 0 }

func Index(list [2]int) int { return list[1] }
`,
		"pay/pay_test.go": `package pay

import "testing"

func TestAll(t *testing.T) {
	if got := Total(2, 0); got != 2 {
		t.Error(got)
	}
	if got := Rounds(9); got != 3 {
		t.Error(got)
	}
	if got := Index([2]int{5, 5}); got != 5 {
		t.Error(got)
	}
	Known(1)
}
`,
		"other/other_test.go": `package other

import (
	"testing"

	"example.test/m/pay"
)

func TestTotal(t *testing.T) {
	if got := pay.Total(2, 2); got != 4 {
		t.Error(got)
	}
}
`,
		"known.txt": "# comment\n\npay/pay.go\tfunc Known(a int) int { return a - 0 }\ta - 0 -> a + 0\tadding nothing is subtracting nothing\n" +
			"pay/pay.go\tgone\tgone\tits line is gone\n",
	}
	module(t, files)
	try := func(args ...string) (string, string) {
		t.Helper()
		var stdout, stderr strings.Builder
		args = append([]string{"-j", "2", "-v", "-timeout", "2s"}, args...)
		if err := run(t.Context(), append(args, "./pay"), &stdout, &stderr); err != nil {
			t.Fatalf("run(%q): %v", args, err)
		}
		return stdout.String(), stderr.String()
	}

	out, messages := try("-ignore", "known.txt", "-survivors", "survivors.txt")
	for _, want := range []string{
		"pay/pay.go:4: survived: a + b -> a - b\n", // 2-0 is 2+0
		"pay/pay.go:7: killed: n > 1 -> n <= 1\n",
		"pay/pay.go:8: timed out: without n = n / 2\n",
		"pay/pay.go:14: uncovered: a * 3 -> a / 3\n",
		"pay/pay.go:18: survived: list[1] -> list[0]\n",
		"pay/pay.go:18: not compiling: list[1] -> list[2]\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("run prints\n%swant a line %q", out, want)
		}
	}
	if strings.Contains(out, "a - 0 -> a + 0") {
		t.Errorf("run tries a mutant of the ignore file:\n%s", out)
	}
	if !strings.Contains(messages, "no such mutant any more: pay/pay.go: gone: gone") {
		t.Errorf("run says\n%swant that an entry of the ignore file is for nothing", messages)
	}
	survivors, err := os.ReadFile("survivors.txt")
	if want := "pay/pay.go\tfunc Total(a, b int) int { return a + b }\ta + b -> a - b\t\n"; err != nil || !strings.HasPrefix(string(survivors), want) {
		t.Errorf("survivors = %q, %v, want first %q", survivors, err, want)
	}

	if out, _ := try("-only", "pay.go:4$", "-also", "pay=./other"); !strings.Contains(out, "killed: a + b -> a - b") {
		t.Errorf("run with the other package's tests prints\n%swant that they notice", out)
	}
	if out, _ := try("-only", "pay.go:4$", "-also", "pay=./other:TestNothing"); !strings.Contains(out, "survived: a + b -> a - b") {
		t.Errorf("run with none of the other package's tests prints\n%swant that they do not notice", out)
	}
	if out, _ := try("-n", "3", "-list"); strings.Count(out, "\n") != 3 {
		t.Errorf("a sample of 3 is\n%s", out)
	}
	err = run(t.Context(), []string{"-only", "pay.go:4$", "-least", "50", "./pay"}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "0.0 % of the mutants are killed, want 50 %") {
		t.Errorf("run with too few killed: %v", err)
	}
	for name, text := range files {
		if now, err := os.ReadFile(name); err != nil || string(now) != text {
			t.Errorf("%s has changed: %v", name, err)
		}
	}
}

// TestEquivalentExist checks that the sources still have every mutant that the list says changes nothing.
func TestEquivalentExist(t *testing.T) {
	list, err := readIgnored("equivalent.txt")
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for k := range list {
		folders = append(folders, "./"+path.Dir(k.file))
	}
	slices.Sort(folders)
	t.Chdir(testutil.Root(t))
	_, pkgs, err := load(t.Context(), slices.Compact(folders))
	if err != nil {
		t.Fatal(err)
	}
	found := map[key]bool{}
	for _, p := range pkgs {
		for _, f := range p.files {
			for _, m := range find(f) {
				found[m.key()] = true
			}
		}
	}
	for k := range list {
		if !found[k] {
			t.Errorf("equivalent.txt names a mutant that no longer exists: %s: %s: %s", k.file, k.source, k.change)
		}
	}
}

func TestRunNeedsTestsThatPass(t *testing.T) {
	module(t, map[string]string{
		"a.go":      "package m\nconst a = 3\n",
		"a_test.go": "package m\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Error(\"broken before\") }\n",
	})
	err := run(t.Context(), []string{"."}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "broken before") {
		t.Errorf("run: %v, want what the test prints", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	if residentMiB(os.Getpid()) == 0 {
		t.Skip("no /proc to see a process's memory in")
	}
	module(t, map[string]string{
		"a.go":      "package m\n\nvar grows = 1 < 0\n",
		"a_test.go": "package m\nimport \"testing\"\nfunc TestA(t *testing.T) { var b [][]byte; for grows { p := make([]byte, 1<<20); for i := range p { p[i] = 1 }; b = append(b, p) } }\n",
	})
	var out strings.Builder
	if err := run(t.Context(), []string{"-v", "-memory", "200", "."}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := "killed: 1 < 0 -> 1 >= 0"; !strings.Contains(out.String(), want) {
		t.Errorf("run prints\n%swant %q", out.String(), want)
	}
}

func TestMissed(t *testing.T) {
	t.Parallel()
	c := coverage{}
	profile := "mode: set\nm/a.go:1.10,9.2 3 1\nm/a.go:3.5,5.6 1 0\nm/a.go:9.2,9.9 1 0\nm/a.go:9.2,9.9 1 1\n"
	if err := c.read(strings.NewReader(profile)); err != nil {
		t.Fatal(err)
	}
	file := &sourceFile{pkg: &source{path: "m"}, path: "/somewhere/a.go"}
	tests := []struct {
		name         string
		line, column int
		want         bool
	}{
		{"before all blocks", 1, 9, false},
		{"in a block that ran", 1, 10, false},
		{"in a function literal that did not, inside it", 4, 1, true},
		{"its first character", 3, 5, true},
		{"behind its last", 5, 6, false},
		{"in a block that ran in one of two profiles", 9, 3, false},
	}
	for _, test := range tests {
		if got := c.missed(&mutant{file: file, line: test.line, column: test.column}); got != test.want {
			t.Errorf("%s: missed at %d.%d = %v, want %v", test.name, test.line, test.column, got, test.want)
		}
	}
	if err := c.read(strings.NewReader("nonsense\n")); err == nil {
		t.Error("a profile that is none is read")
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	counts := map[outcome]int{killed: 5, timedOut: 1, survived: 1, uncovered: 1, notCompiling: 50, equivalent: 50}
	if got := share(counts); got != 75 {
		t.Errorf("share = %v, want 75: 6 of the 8 that count", got)
	}
	if got := share(nil); got != 100 {
		t.Errorf("share of nothing = %v, want 100", got)
	}
}

func TestLongest(t *testing.T) {
	t.Parallel()
	s := suite{took: time.Second}
	if got := s.longest(time.Minute); got != 20*time.Second {
		t.Errorf("tests of a second may take %s, want 20 s", got)
	}
	if got := s.longest(5 * time.Second); got != 5*time.Second {
		t.Errorf("tests may take %s, want the limit of 5 s", got)
	}
}

func TestParseIgnored(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a\tb\tc\n", "a\tb\tc\t \n", "a b c d\n", "a\tb\tc\td\na\tb\tc\te\n"} {
		if got, err := parseIgnored(strings.NewReader(text)); err == nil {
			t.Errorf("parseIgnored(%q) = %v, want an error", text, got)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"-j", "0", "."}, {"-only", "(", "."}, {"-skip", "(", "."}, {"-also", "x", "."}, {"-unknown", "."}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("parse(%q) takes it", args)
		}
	}
	if _, err := parse([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("parse(-h): %v", err)
	}
	o, err := parse([]string{"-also", "./a/b=./c,./d:X|Y", "-also", "a/b=./e", "."}, io.Discard)
	if want := (alsoTests{"a/b": {{"./c", ""}, {"./d", "X|Y"}, {"./e", ""}}}); err != nil || !cmp.Equal(o.also, want, cmp.AllowUnexported(testSpec{})) {
		t.Errorf("-also = %v, %v, want %v", o.also, err, want)
	}
}
