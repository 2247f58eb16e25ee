package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine"
)

// version is set by the release build (-ldflags "-X main.version=...").
var version = "dev"

type versionCmd struct{}

// Run prints one line of version and one line for each thing worth knowing in a bug report.
func (versionCmd) Run(env *environment) error {
	revision := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	fmt.Fprintf(env.stdout, "resnet18cloud %s\ncommit   %s\ngo       %s %s/%s\n", version, revision,
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
	cpu, err := engine.DescribeCPU()
	fmt.Fprintf(env.stdout, "cpus     %d with %s\n", cpu.Quota, strings.Join(cpu.Levels, ", "))
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "kernels  fp32 %s, int8 %s\n", cpu.FP32, cpu.Int8)
	return nil
}
