package kerneltest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// failing is a test that fails on purpose: Fatalf ends the function under test.
type failing struct {
	testing.TB
	message string
}

func (*failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	panic(f)
}

// fails returns the message with which call fails the test it is given; empty when it does not.
func fails(t *testing.T, call func(tb testing.TB)) (message string) {
	t.Helper()
	f := &failing{TB: t}
	defer func() {
		if r := recover(); r != nil {
			if r != any(f) {
				panic(r)
			}
			message = f.message
		}
	}()
	call(f)
	return ""
}

func TestRegionFindsWritesBefore(t *testing.T) {
	t.Parallel()
	r := NewRegion[uint8](t, 100, 7)
	for _, n := range []int{1, 50, 100} {
		s := r.Slice(n)
		if len(s) != n || slices.ContainsFunc(s, func(v uint8) bool { return v != 7 }) {
			t.Fatalf("Slice(%d) = %v, want as many sevens", n, s)
		}
		check := func(tb testing.TB) { r.Check(tb, "nobody") }
		if got := fails(t, check); got != "" {
			t.Errorf("%d: nothing was written, but: %s", n, got)
		}
		r.all[len(r.all)-n-3] = 8
		if got, want := fails(t, check), fmt.Sprintf("nobody wrote 3 before a slice of %d", n); got != want {
			t.Errorf("Check says %q, want %q", got, want)
		}
	}
}

// TestRegionFaultsBehind checks that slices end where memory ends, whatever their length.
func TestRegionFaultsBehind(t *testing.T) {
	t.Parallel()
	if !faults {
		t.Skip("no faulting pages on this system")
	}
	r := NewRegion[float32](t, 10, 0)
	for _, n := range []int{1, 9, 10} {
		s := r.Slice(n)
		end := &s[n-1]
		if *end != 0 {
			t.Fatal("not readable to its end")
		}
		func() {
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			defer func() {
				if recover() == nil {
					t.Errorf("%d: no fault behind a slice", n)
				}
			}()
			_ = behind(end)
		}()
	}
}

func TestEncodingsFindsWrongNames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, text, want string
	}{
		"right": {"x_amd64.s", "\t// {vex} vpdpbusd %ymm14,%ymm15,%ymm0\n\tLONG $0x5005c2c4\n\tBYTE $0xc6\n", ""},
		"wrong": {"x_amd64.s", "\t// {vex} vpdpbusd %ymm14,%ymm15,%ymm2\n\tLONG $0x5005c2c4\n\tBYTE $0xc6\n",
			`instruction 0 is "{vex} vpdpbusd %ymm14,%ymm15,%ymm0", its comment says "{vex} vpdpbusd %ymm14,%ymm15,%ymm2"`},
		"unnamed": {"x_arm64.s", "\tWORD $0x4F80E000\n", "has no instructions spelled as numbers"},
		"arm64":   {"x_arm64.s", "\tWORD $0x4F95E2C3 // sdot v3.4s, v22.16b, v21.4b[1]\n", `instruction 0 is "sdot v3.4s, v22.16b, v21.4b[0]"`},
		"two for one": {"x_arm64.s", "\tWORD $0x4F80E000 // sdot v0.4s, v0.16b, v0.4b[0]\n\tWORD $0x4F80E000\n",
			"1 comments, 2 instructions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), test.file)
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := fails(t, func(tb testing.TB) { Encodings(tb, file) })
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("Encodings says %q, want %q", got, test.want)
			}
		})
	}
}

// behind reads what follows x in memory.
//
//go:noinline
func behind(x *float32) float32 { return *(*float32)(unsafe.Add(unsafe.Pointer(x), 4)) }
