package cpu

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	have := []Level{Generic, AVX2, AVX512}
	for _, test := range []struct {
		name string
		want Level
		err  string
	}{
		{"", AVX512, ""},
		{"avx2", AVX2, ""},
		{"generic", Generic, ""},
		{"avx512vnni", Generic, "has generic, avx2, avx512"},
		{"fast", Generic, "RESNET18_CPU=fast"},
	} {
		got, err := choose(test.name, have)
		if got != test.want || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("choose(%q) = %v, %v; want %v, error with %q", test.name, got, err, test.want, test.err)
		}
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	if err := Require("anything", Generic); err != nil && os.Getenv(Variable) == "" {
		t.Errorf("Require(generic) = %v", err)
	}
	for want, err := range map[string]error{
		"precision bf16 needs a CPU with the level bf16; this CPU (" + runtime.GOARCH + ") has generic, neon": missing("precision bf16", BF16, NEON, []Level{Generic, NEON}),
		"has generic, neon, dotprod, i8mm, bf16, of which RESNET18_CPU=i8mm allows only some":                 missing("it", BF16, I8MM, []Level{Generic, NEON, DotProd, I8MM, BF16}),
	} {
		if !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want it to end with %q", err, want)
		}
	}
}

func TestLevelsStartGeneric(t *testing.T) {
	t.Parallel()
	if levels := Levels(); levels[0] != Generic {
		t.Errorf("Levels() = %v, want Generic first", levels)
	}
}

func TestIncludes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		l    Level
		want []Level
	}{
		{Generic, []Level{Generic}},
		{AVXVNNI, []Level{Generic, AVX2, AVXVNNI}},
		{AVX512, []Level{Generic, AVX2, AVX512}},
		{AVX512VNNI, []Level{Generic, AVX2, AVX512, AVX512VNNI}},
		{I8MM, []Level{Generic, NEON, DotProd, I8MM}},
		{BF16, []Level{Generic, NEON, DotProd, I8MM, BF16}},
	} {
		for m := Generic; int(m) < len(names); m++ {
			if got, want := test.l.Includes(m), slices.Contains(test.want, m); got != want {
				t.Errorf("%s.Includes(%s) = %t, want %t", test.l, m, got, want)
			}
		}
	}
}

// TestLevelsIncludeWhatTheyExtend checks that kernels chosen for a level run on any CPU that has it.
func TestLevelsIncludeWhatTheyExtend(t *testing.T) {
	t.Parallel()
	for _, l := range Levels()[1:] {
		if !slices.Contains(Levels(), extends[l]) {
			t.Errorf("%s without %s", l, extends[l])
		}
	}
}

func TestCgroupLimit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		limit float64
		ok    bool
	}{
		"no cgroups": {nil, 0, false},
		"v2 unlimited": {map[string]string{
			"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": "max 100000\n"}, 0, false},
		"v2": {map[string]string{
			"proc/self/cgroup": "0::/pod/app\n", "sys/fs/cgroup/pod/app/cpu.max": "150000 100000\n"}, 1.5, true},
		"v2 limit of an ancestor": {map[string]string{
			"proc/self/cgroup": "0::/pod/app\n", "sys/fs/cgroup/pod/app/cpu.max": "max 100000\n",
			"sys/fs/cgroup/pod/cpu.max": "50000 100000\n"}, 0.5, true},
		"v2 in a container": {map[string]string{
			"proc/self/cgroup": "0::/../../host/path\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2, true},
		"v1": {map[string]string{
			"proc/self/cgroup":                      "5:memory:/x\n4:cpu,cpuacct:/x\n",
			"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us":  "25000\n",
			"sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 0.25, true},
		"v1 unlimited": {map[string]string{
			"proc/self/cgroup":                      "4:cpu:/x\n",
			"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us":  "-1\n",
			"sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n"}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for file, content := range test.files {
				full := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			limit, ok := cgroupLimit(root)
			if ok != test.ok || ok && limit != test.limit {
				t.Errorf("cgroupLimit = %v, %v; want %v, %v", limit, ok, test.limit, test.ok)
			}
		})
	}
}

// TestTables: each level has a name and the level that it extends, which comes before it.
func TestTables(t *testing.T) {
	t.Parallel()
	if len(names) != len(extends) {
		t.Fatalf("%d names and %d entries in extends, want one each for every level", len(names), len(extends))
	}
	for l := Generic + 1; int(l) < len(extends); l++ {
		if extends[l] >= l {
			t.Errorf("%s extends %s, which does not come before it", l, extends[l])
		}
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	if q := Quota(); q < 1 {
		t.Errorf("Quota() = %d, want at least 1", q)
	}
}
