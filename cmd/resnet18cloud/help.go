package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/usage"
)

type helpCmd struct {
	Command []string `arg:"" optional:"" help:"Command, such as: model pull. Default: the program."`
}

// Help adds to kong's text what an option cannot say.
func (helpCmd) Help() string {
	return `  resnet18cloud help
  resnet18cloud help model pull`
}

// Run prints what --help of the command prints.
func (c helpCmd) Run(k *kong.Context, env *environment) error {
	node := k.Model.Node
	for _, word := range c.Command {
		next := child(node, word)
		if next == nil {
			var known []string
			for _, n := range usage.Commands(node) {
				known = append(known, n.Name)
			}
			if len(known) == 0 {
				return badUsage(fmt.Errorf("%s has no commands, %q is none (see %s --help)", node.FullPath(), word, node.FullPath()))
			}
			return badUsage(fmt.Errorf("%s has no command %q, only: %s", node.FullPath(), word, strings.Join(known, ", ")))
		}
		node = next
	}
	return usage.Help(env.stdout, k.Model, node)
}

func child(node *kong.Node, name string) *kong.Node {
	for _, n := range node.Children {
		if n.Name == name {
			return n
		}
	}
	return nil
}

type manCmd struct{}

// Help adds to kong's text what an option cannot say.
func (manCmd) Help() string {
	return `The page is in roff, which man shows.

  resnet18cloud man | man -l -
  resnet18cloud man >~/.local/share/man/man1/resnet18cloud.1`
}

// Run prints the page.
func (manCmd) Run(k *kong.Context, env *environment) error {
	return usage.Man(env.stdout, k.Model, version)
}

type completionCmd struct {
	Shell string `arg:"" help:"Shell: bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Help adds to kong's text what an option cannot say.
func (completionCmd) Help() string {
	return `The script says in its first lines where it goes for all sessions.

  source <(resnet18cloud completion bash)
  source <(resnet18cloud completion zsh)
  resnet18cloud completion fish | source`
}

// Run prints the script.
func (c completionCmd) Run(k *kong.Context, env *environment) error {
	return usage.Completion(env.stdout, k.Model, c.Shell)
}

// versionFlag is --version.
type versionFlag bool

// BeforeReset prints the version, before the rest of the command line is looked at.
func (versionFlag) BeforeReset(k *kong.Kong) error {
	fmt.Fprintln(k.Stdout, "resnet18cloud", version)
	k.Exit(0)
	return nil
}

// IgnoreDefault tells kong that the flag has none.
func (versionFlag) IgnoreDefault() {}

// offMapper reads numbers and durations that can be turned off, in fields whose zero value means a default: "off", 0 and -1
// set the field to -1. Where the help of a flag says that 0 has a sense of its own, the flag has no such mapper.
type offMapper struct{}

// Decode implements kong.Mapper.
func (offMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue(ctx.Value.Name)
	if err != nil {
		return err
	}
	text := strings.TrimSpace(fmt.Sprint(token.Value))
	if number, ok := token.Value.(float64); ok {
		text = strconv.FormatFloat(number, 'f', -1, 64)
	}
	switch text {
	case "off", "0", "-1", "0s", "-1s", "false": // YAML's off is false
		if target.Kind() == reflect.Float64 {
			target.SetFloat(-1)
		} else {
			target.SetInt(-1)
		}
		return nil
	}
	if target.Kind() == reflect.Float64 {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q: want a number, or off", text)
		}
		target.SetFloat(n)
		return nil
	}
	if target.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("%q: want a time such as 5s, or off", text)
		}
		target.SetInt(int64(d))
		return nil
	}
	var n int64
	if err := json.Unmarshal([]byte(text), &n); err != nil || n < 0 || target.OverflowInt(n) {
		return fmt.Errorf("%q: want a whole number, or off", text)
	}
	target.SetInt(n)
	return nil
}
