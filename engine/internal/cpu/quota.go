package cpu

import (
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// Quota returns the number of CPUs granted to this process, at least 1: the cgroup's CPU limit, rounded up, but not
// more than GOMAXPROCS and the affinity mask. Go's runtime sets GOMAXPROCS from the cgroup too, but never below 2, and
// not if the variable of that name is set.
var Quota = sync.OnceValue(func() int {
	n := min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	if limit, ok := cgroupLimit("/"); ok {
		n = min(n, int(math.Ceil(limit)))
	}
	return max(1, n)
})

// cgroupLimit is the lowest CPU limit of this process's cgroup and its ancestors, in CPUs: cgroup v2's
// cpu.max (Linux kernel, admin-guide/cgroup-v2, "CPU Interface Files"), else v1's cfs_quota_us over
// cfs_period_us. root is the directory of the system's files: "/" except in tests.
func cgroupLimit(root string) (limit float64, ok bool) {
	list, err := os.ReadFile(path.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0, false // not Linux
	}
	limit = math.Inf(1)
	for line := range strings.Lines(string(list)) {
		// hierarchy-ID:controllers:path, controllers empty in v2
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		var read func(dir string) (float64, bool)
		mount := "sys/fs/cgroup"
		switch {
		case fields[1] == "":
			read = readV2
		case strings.Contains(","+fields[1]+",", ",cpu,"):
			mount, read = "sys/fs/cgroup/cpu", readV1
		default:
			continue
		}
		// Inside a container the path may be the host's: then only the mount's own files exist.
		for dir := path.Join("/", fields[2]); ; dir = path.Dir(dir) {
			if l, found := read(path.Join(root, mount, dir)); found {
				limit = min(limit, l)
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit, !math.IsInf(limit, 1)
}

func readV2(dir string) (float64, bool) {
	data, err := os.ReadFile(path.Join(dir, "cpu.max"))
	if err != nil {
		return 0, false
	}
	quota, period, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	return ratio(quota, period) // a quota of "max" is not a number: no limit
}

func readV1(dir string) (float64, bool) {
	quota, err := os.ReadFile(path.Join(dir, "cpu.cfs_quota_us"))
	if err != nil {
		return 0, false
	}
	period, err := os.ReadFile(path.Join(dir, "cpu.cfs_period_us"))
	if err != nil {
		return 0, false
	}
	return ratio(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

func ratio(quota, period string) (float64, bool) {
	q, err := strconv.ParseFloat(quota, 64)
	if err != nil || q <= 0 {
		return 0, false
	}
	p, err := strconv.ParseFloat(period, 64)
	if err != nil || p <= 0 {
		return 0, false
	}
	return q / p, true
}
