package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine"
)

// version and commit are set by release builds (-ldflags "-X main.version=... -X main.commit=...").
var version, commit = "dev", ""

type versionCmd struct{}

// Help adds to kong's text what an option cannot say.
func (versionCmd) Help() string {
	return `  resnet18cloud version
  resnet18cloud --version`
}

// Run prints one line of version and one line for each thing worth knowing in a bug report.
func (versionCmd) Run(env *environment) error {
	fmt.Fprintf(env.stdout, "resnet18cloud %s\ncommit   %s\ngo       %s %s/%s\n", version, ownRevision(),
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
	cpu, err := engine.DescribeCPU()
	fmt.Fprintf(env.stdout, "cpus     %d with %s\n", cpu.Quota, strings.Join(cpu.Levels, ", "))
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "kernels  fp32 %s, bf16 %s, int8 %s\n", cpu.FP32, cmp.Or(cpu.BF16, "none"), cpu.Int8)
	return nil
}

// ownRevision returns the commit that this program was built from.
func ownRevision() string {
	info, _ := debug.ReadBuildInfo()
	return revision(commit, info)
}

// revision returns the commit that the program was built from: the one that its build names, or else the one that Go has
// recorded in info, which is nil if Go recorded nothing.
func revision(named string, info *debug.BuildInfo) string {
	if named != "" {
		return named
	}
	if info != nil {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
