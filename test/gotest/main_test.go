package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ events, want string }{
		"nothing": {"", "0 passed, 0 failed, 0 skipped\n"},
		"passed": {`
			{"Action":"start","Package":"p"}
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: words\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
			{"Action":"pass","Package":"p","Test":"TestA"}
			{"Action":"output","Package":"p","Output":"PASS\n"}
			{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
			{"Action":"pass","Package":"p"}`,
			"ok  \tp\t0.1s\n1 passed, 0 failed, 0 skipped\n"},
		"skipped, by reason": {`
			{"Action":"output","Package":"q","Test":"TestC","Output":"    c_test.go:7: no data\n"}
			{"Action":"output","Package":"q","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}
			{"Action":"skip","Package":"q","Test":"TestC"}
			{"Action":"output","Package":"p","Test":"TestB/x","Output":"    b_test.go:5: no data\n"}
			{"Action":"skip","Package":"p","Test":"TestB/x"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
			{"Action":"skip","Package":"p","Test":"TestA"}
			{"Action":"skip","Package":"empty"}`,
			"skipped: no data\n  p TestB/x\n  q TestC\nskipped: no reason given\n  p TestA\n0 passed, 0 failed, 3 skipped\n"},
		"failed": {`
			{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: wrong\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}
			{"Action":"fail","Package":"p","Test":"TestA"}
			{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
			{"Action":"fail","Package":"p"}`,
			"    a_test.go:1: wrong\n--- FAIL: TestA (0.00s)\nFAIL\tp\t0.1s\n0 passed, 1 failed, 0 skipped\n"},
		"died": {`
			{"Action":"output","Package":"p","Test":"TestA","Output":"panic: oh\n"}
			{"Action":"output","Package":"other","Test":"TestB","Output":"still running\n"}
			{"Action":"fail","Package":"p"}`,
			"panic: oh\n0 passed, 1 failed, 0 skipped\n"},
		"does not compile": {`
			{"ImportPath":"p","Action":"build-output","Output":"# p\n"}
			{"ImportPath":"p","Action":"build-fail"}
			not JSON`,
			"# p\nnot JSON\n0 passed, 0 failed, 0 skipped\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			s := newSummary(&out)
			var events strings.Builder
			for line := range strings.Lines(strings.TrimSpace(test.events)) {
				events.WriteString(strings.TrimSpace(line))
				events.WriteByte('\n')
			}
			if err := s.read(strings.NewReader(strings.TrimLeft(events.String(), "\n"))); err != nil {
				t.Fatal(err)
			}
			s.close()
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("output differs (-want +got):\n%s", diff)
			}
		})
	}
}
