package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	usage := errors.New("use: manifests kustomize DIR, or manifests chart [-namespace NAME] [-f VALUES.yaml]... DIR")
	if len(args) == 0 {
		return usage
	}
	var files []string
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	namespace := flags.String("namespace", "default", "namespace of the release")
	flags.Func("f", "file with values", func(name string) error { files = append(files, name); return nil })
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return usage
	}
	var out []byte
	var err error
	switch args[0] {
	case "kustomize":
		out, err = kustomize(flags.Arg(0))
	case "chart":
		var r *release
		if r, err = chart(flags.Arg(0), *namespace, files...); err == nil {
			out = []byte(strings.Join(r.documents, "\n---\n") + "\n")
		}
	default:
		return usage
	}
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}
