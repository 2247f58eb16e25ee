// Package usage renders the model of a command line that kong has read from a struct: as help for a terminal of 80 columns,
// as a manual page, and as completion scripts for shells. Commands describe themselves in the struct only, so that the three
// always agree.
package usage

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// Width is the maximum number of characters in a line of help.
const Width = 80

// column is where the descriptions of options, arguments and commands begin.
const column = 26

// Global is the title of options that every command has. They come last.
const Global = "Options of all commands:"

// Help writes the help of a command, or of the program if node is nil: usage, a sentence, details, examples, arguments,
// commands, and options in groups. A command with a default command has that one's options and examples too.
func Help(w io.Writer, app *kong.Application, node *kong.Node) error {
	if node == nil {
		node = app.Node
	}
	var b bytes.Buffer
	wrap(&b, "Usage: "+summary(app, node), 0, 2)
	b.WriteByte('\n')
	wrap(&b, node.Help, 0, 0)
	text, examples := details(node)
	for _, paragraph := range text {
		b.WriteByte('\n')
		wrap(&b, paragraph, 0, 0)
	}
	if len(examples) > 0 {
		b.WriteString("\nExamples:\n")
		for _, line := range examples {
			b.WriteString("  " + line + "\n")
		}
	}
	if len(effective(node).Positional) > 0 {
		b.WriteString("\nArguments:\n")
		for _, a := range effective(node).Positional {
			row(&b, argument(a), describe(a))
		}
	}
	if commands := Commands(node); len(commands) > 0 {
		b.WriteString("\nCommands:\n")
		for _, c := range commands {
			row(&b, c.Name, c.Help)
		}
	}
	for _, g := range Groups(node) {
		b.WriteString("\n" + g.Title + "\n")
		for _, f := range g.Flags {
			row(&b, flagText(f), describe(f.Value))
		}
	}
	if len(Commands(node)) > 0 {
		b.WriteByte('\n')
		wrap(&b, fmt.Sprintf("For a command's own help: %s COMMAND --help", node.FullPath()), 0, 0)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Commands are the commands below a node, without hidden ones.
func Commands(node *kong.Node) []*kong.Node {
	return slices.DeleteFunc(slices.Clone(node.Children), func(n *kong.Node) bool { return n.Hidden })
}

// Group is some options under a title.
type Group struct {
	Title string
	Flags []*kong.Flag
}

// Groups are the options of a command and of its default command: first those without a group, then the groups in the order of
// their first options, and at the end those of the whole program.
func Groups(node *kong.Node) []Group {
	groups := []Group{{Title: "Options:"}}
	var global []*kong.Flag
	for n := effective(node); n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if f.Hidden {
				continue
			}
			if n.Parent == nil {
				global = append(global, f)
				continue
			}
			title := groups[0].Title
			if f.Group != nil {
				title = f.Group.Title
			}
			i := slices.IndexFunc(groups, func(g Group) bool { return g.Title == title })
			if i < 0 {
				i, groups = len(groups), append(groups, Group{Title: title})
			}
			groups[i].Flags = append(groups[i].Flags, f)
		}
	}
	groups = append(groups, Group{Global, global})
	return slices.DeleteFunc(groups, func(g Group) bool { return len(g.Flags) == 0 })
}

// Examples are the lines that the help of a command shows to be pasted. A line that ends with a backslash goes on in the next.
func Examples(node *kong.Node) []string {
	_, examples := details(node)
	return examples
}

// effective is the command that runs if a node is named alone.
func effective(node *kong.Node) *kong.Node { return cmp.Or(node.DefaultCmd, node) }

// details are the paragraphs and the examples, which are the indented lines, of a command's text and of its default command's.
func details(node *kong.Node) (paragraphs, examples []string) {
	text := node.Detail
	if node.DefaultCmd != nil {
		text += "\n\n" + node.DefaultCmd.Detail
	}
	var paragraph []string
	end := func() {
		if len(paragraph) > 0 {
			paragraphs, paragraph = append(paragraphs, strings.Join(paragraph, " ")), nil
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "  "):
			end()
			examples = append(examples, line[2:])
		case line == "":
			end()
		default:
			paragraph = append(paragraph, line)
		}
	}
	end()
	return paragraphs, examples
}

// summary is the usage of a node on one line.
func summary(app *kong.Application, node *kong.Node) string {
	s := node.FullPath()
	e := effective(node)
	for _, f := range e.Flags {
		if f.Required {
			s += " " + flagText(f)
		}
	}
	for _, a := range e.Positional {
		if text := argument(a); a.Required {
			s += " " + text
		} else {
			s += " [" + text + "]"
		}
	}
	switch {
	case node == app.Node:
		return s + " COMMAND [OPTIONS]"
	case node.DefaultCmd != nil:
		return s + " [COMMAND] [OPTIONS]"
	case len(node.Children) > 0:
		return s + " COMMAND [OPTIONS]"
	}
	return s + " [OPTIONS]"
}

// argument is the name of an argument.
func argument(a *kong.Positional) string {
	name := cmp.Or(a.Tag.PlaceHolder, strings.ToUpper(a.Name))
	if a.IsCumulative() {
		name += " ..."
	}
	return name
}

// flagText is an option with what stands for its value.
func flagText(f *kong.Flag) string {
	name := "--" + f.Name
	if f.Tag.Negatable != "" {
		name = "--[no-]" + f.Name
	}
	if f.Short != 0 {
		name = fmt.Sprintf("-%c, %s", f.Short, name)
	}
	if f.IsBool() {
		return name
	}
	return name + "=" + placeHolder(f)
}

// placeHolder stands for the value of an option.
func placeHolder(f *kong.Flag) string {
	kind := f.Target.Type()
	switch {
	case f.PlaceHolder != "":
		return f.PlaceHolder
	case f.Enum != "":
		return strings.Join(Values(f.Value), "|")
	case kind == reflect.TypeFor[time.Duration]():
		return "TIME"
	case kind.Kind() == reflect.String:
		return "TEXT"
	case kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.String:
		return "TEXT,..."
	case kind.Kind() == reflect.Slice:
		return "N,..."
	case kind.Kind() == reflect.Int || kind.Kind() == reflect.Int64 || kind.Kind() == reflect.Uint64 || kind.Kind() == reflect.Float64:
		return "N"
	}
	return strings.ToUpper(f.Name)
}

// Values are the values that an option or argument is limited to, none if it is not.
func Values(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" })
}

// describe is the help of an option or argument, with its default and its environment variables.
func describe(v *kong.Value) string {
	text := v.Help
	if v.HasDefault && v.Default != "" && !v.IsBool() {
		text = strings.TrimSuffix(text, ".") + " (default " + v.Default + inUnits(v) + ")."
	}
	for _, env := range v.Tag.Envs {
		text += " [$" + env + "]"
	}
	return text
}

// inUnits is the default of an option in bytes, as people say it: ", 256 MiB".
func inUnits(v *kong.Value) string {
	n, err := strconv.ParseInt(v.Default, 10, 64)
	if err != nil || n < 1<<10 || !strings.Contains(v.Help, "bytes") {
		return ""
	}
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n%unit.size == 0 {
			return fmt.Sprintf(", %d %s", n/unit.size, unit.name)
		}
	}
	return ""
}

// row writes a name and its description beside it, or below if the name is long.
func row(b *bytes.Buffer, name, text string) {
	name = "  " + name
	if len(name) > column-2 {
		wrap(b, name, 0, 6)
		name = ""
	}
	var right bytes.Buffer
	wrap(&right, text, 0, 0, Width-column)
	for i, line := range strings.Split(strings.TrimRight(right.String(), "\n"), "\n") {
		if i > 0 {
			name = ""
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s%s", column, name, line), " ") + "\n")
	}
}

// wrap writes text in lines of at most Width characters, or the given number. The first line and the others have indents.
func wrap(b *bytes.Buffer, text string, first, other int, width ...int) {
	limit := Width
	if len(width) > 0 {
		limit = width[0]
	}
	lead := len(text) - len(strings.TrimLeft(text, " "))
	line, indent := strings.Repeat(" ", first+lead), true
	for _, word := range strings.Fields(text) {
		for _, part := range pieces(word, limit-other) {
			if !indent && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(part) > limit {
				b.WriteString(line + "\n")
				line, indent = strings.Repeat(" ", other), true
			}
			if !indent {
				line += " "
			}
			line, indent = line+part, false
		}
	}
	b.WriteString(line + "\n")
}

// pieces cuts a word that is longer than a line, after commas and bars if there are some.
func pieces(word string, limit int) (parts []string) {
	for len(word) > limit {
		cut := limit
		if i := strings.LastIndexAny(word[:limit], ",|/"); i > 0 {
			cut = i + 1
		}
		parts, word = append(parts, word[:cut]), word[cut:]
	}
	return append(parts, word)
}
