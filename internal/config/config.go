// Package config reads options from a YAML file for the command line parser. Flags and environment variables
// override them. Keys are flag names; a section named like a command has options of that command, and keys outside
// sections apply to every command with that flag.
package config

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"sigs.k8s.io/yaml"
)

// Load returns a resolver for YAML; it is a kong.ConfigurationLoader.
func Load(r io.Reader) (kong.Resolver, error) { return load(r, false) }

// LoadShared is Load for a program that has only some of the commands that a file may be for. It does not refuse sections of other
// commands, and options outside sections that none of its own commands has.
func LoadShared(r io.Reader) (kong.Resolver, error) { return load(r, true) }

func load(r io.Reader, shared bool) (kong.Resolver, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return &resolver{values: values, shared: shared}, nil
}

type resolver struct {
	values map[string]any
	shared bool // with programs that have other commands
}

// Validate rejects unknown keys: a misspelt option would otherwise be ignored silently.
func (r *resolver) Validate(app *kong.Application) error {
	global := flagNames(app.Node)
	for key, value := range r.values {
		section, isSection := value.(map[string]any)
		if !isSection {
			if !r.shared && !slices.Contains(global, key) {
				return fmt.Errorf("configuration: unknown option %q", key)
			}
			continue
		}
		i := slices.IndexFunc(app.Children, func(n *kong.Node) bool { return n.Name == key })
		if i < 0 && r.shared {
			continue
		}
		if i < 0 {
			return fmt.Errorf("configuration: unknown section %q: sections are named like commands", key)
		}
		for name := range section {
			if known := flagNames(app.Children[i]); !slices.Contains(known, name) {
				return fmt.Errorf("configuration: unknown option %q in section %q (known: %s)", name, key,
					strings.Join(known, ", "))
			}
		}
	}
	return nil
}

// flagNames lists the flags of a command and of everything below it.
func flagNames(n *kong.Node) []string {
	var names []string
	for _, f := range n.Flags {
		names = append(names, f.Name)
	}
	for _, child := range n.Children {
		names = append(names, flagNames(child)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Resolve returns the value of the file for a flag, unless its environment variable is set: kong calls resolvers after
// it has applied environment variables, and their values would win.
func (r *resolver) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	if parent != nil && parent.Command != nil {
		for n := parent.Command; n != nil; n = n.Parent {
			if section, ok := r.values[n.Name].(map[string]any); ok {
				if v, ok := section[flag.Name]; ok {
					return v, nil
				}
			}
		}
	}
	if v, ok := r.values[flag.Name]; ok {
		if _, isSection := v.(map[string]any); !isSection {
			return v, nil
		}
	}
	return nil, nil
}
