package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestFlagGroups checks that every group of flags has a title, and that commands with many flags have few without one.
func TestFlagGroups(t *testing.T) {
	t.Parallel()
	titles := map[string]string{}
	for _, g := range flagGroups {
		titles[g.Key] = g.Title
	}
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	err = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		n, ok := node.(*kong.Node)
		if !ok {
			return next(nil)
		}
		alone := 0
		for _, flag := range n.Flags {
			switch {
			case flag.Hidden:
			case flag.Group == nil:
				alone++
			case titles[flag.Group.Key] == "":
				t.Errorf("%s --%s: group %q has no title", n.Path(), flag.Name, flag.Group.Key)
			default:
				used[flag.Group.Key] = true
			}
		}
		if alone > 14 {
			t.Errorf("%s has %d flags without a group", n.Path(), alone)
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range flagGroups {
		if !used[g.Key] {
			t.Errorf("no flag is in group %q", g.Key)
		}
	}
}

// TestErrorsNameTheCommand checks that an error about arguments points to the help of the command that was meant.
func TestErrorsNameTheCommand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"--nothing", "(see resnet18cloud --help)"},
		{"dispatcher --nothing", "(see resnet18cloud dispatcher --help)"},
		{"loadtest --nothing", "(see resnet18cloud loadtest --help)"},
		{"loadtest merge --nothing", "(see resnet18cloud loadtest merge --help)"},
		{"keys what", "(see resnet18cloud keys --help)"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), strings.Fields(test.args), &out, &out)
		if err == nil || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: %v, want an error that ends with %s", test.args, err, test.want)
		}
	}
}

// TestExplainHint checks that the hint for a refused explanation names the option that helps.
func TestExplainHint(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{401: "--token-file", 403: "later", 404: "--admin-addr", 503: " (later)"} {
		if got := explainHint(status, "later"); !strings.Contains(got, want) {
			t.Errorf("status %d: %q, want %q", status, got, want)
		}
	}
	if got := explainHint(500, ""); got != "" {
		t.Errorf("no hint: %q, want none", got)
	}
}
