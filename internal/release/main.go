// Command release makes what a release consists of: archives with the program for every platform, a bill of
// materials for each, checksums, and NOTICE, the licences of the modules in the binary.
//
//	go run ./internal/release notice
//	go run ./internal/release build -version v0.1.0 -commit $(git rev-parse HEAD) -out dist
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
)

// program is the package that releases are built from.
const program = "./cmd/resnet18cloud"

// platform is an operating system and a CPU architecture that a release has a binary for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// platforms are what a release is built for. NOTICE covers all of them.
var platforms = []platform{
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"linux", "amd64"}, {"linux", "arm64"},
	{"windows", "amd64"},
}

// revision matches what names a commit, and no commit at all. It keeps other words out of the linker's flags.
var revision = regexp.MustCompile(`^[0-9a-f]*$`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("want a command: notice or build")
	}
	switch args[0] {
	case "notice":
		text, err := notice(ctx, ".")
		if err != nil {
			return err
		}
		return os.WriteFile("NOTICE", text, 0o644)
	case "build":
		return build(ctx, args[1:])
	}
	return fmt.Errorf("unknown command %q, want notice or build", args[0])
}

// build parses the flags of the command build and makes a release.
func build(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	r := release{}
	flags.StringVar(&r.version, "version", "dev", "version, as the tag has it")
	flags.StringVar(&r.commit, "commit", "", "commit of the sources, which the program prints as part of its version")
	flags.StringVar(&r.out, "out", "dist", "folder for the files; what it holds is removed")
	flags.StringVar(&r.sbom, "sbom", "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0", "package that writes bills of materials")
	flags.StringVar(&r.cache, "cache", "", "absolute path of a build cache for the program alone; the user's by default")
	only := flags.String("only", "", "platforms to build, with commas between; all by default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !revision.MatchString(r.commit) {
		return fmt.Errorf("-commit %q is not a commit: want the output of git rev-parse HEAD, or nothing", r.commit)
	}
	for _, p := range platforms {
		if *only == "" || strings.Contains(","+*only+",", ","+p.String()+",") {
			r.platforms = append(r.platforms, p)
		}
	}
	if len(r.platforms) == 0 {
		return fmt.Errorf("-only %s names none of %v", *only, platforms)
	}
	return r.make(ctx)
}
