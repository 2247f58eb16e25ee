package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 || args[0] != "kustomize" {
		return errors.New("use: manifests kustomize DIR")
	}
	out, err := kustomize(args[1])
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}
