package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersionCommand(t *testing.T) {
	t.Parallel()
	stdout, _, err := command(t, "version")
	for _, want := range []string{"resnet18cloud dev\n", "commit   ", "go       go1.", "cpus     ", "kernels  fp32 "} {
		if err != nil || !strings.Contains(stdout, want) {
			t.Errorf("version: %v, printed %q, want %q in it", err, stdout, want)
		}
	}
}

// TestRevision checks that a commit named by the build has precedence over the one that Go recorded.
func TestRevision(t *testing.T) {
	t.Parallel()
	recorded := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "abc"}}}
	for name, test := range map[string]struct {
		named string
		info  *debug.BuildInfo
		want  string
	}{
		"nothing":          {"", nil, "unknown"},
		"recorded nothing": {"", &debug.BuildInfo{}, "unknown"},
		"recorded":         {"", recorded, "abc"},
		"named":            {"def", recorded, "def"},
	} {
		if got := revision(test.named, test.info); got != test.want {
			t.Errorf("%s: revision %q, want %q", name, got, test.want)
		}
	}
}
