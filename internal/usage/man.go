package usage

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Man writes the manual page of section 1, in the macros of man(7), which groff and mandoc render. version stands in the
// footer. The same model gives the same page: it has no date.
func Man(w io.Writer, app *kong.Application, version string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %s 1 \"\" %s\n.SH NAME\n%s \\- %s\n", quote(strings.ToUpper(app.Name)), quote(app.Name+" "+version),
		roff(app.Name), roff(strings.TrimSuffix(app.Help, ".")))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n\\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n", roff(app.Name))
	text, examples := details(app.Node)
	b.WriteString(".SH DESCRIPTION\n")
	for _, paragraph := range text {
		b.WriteString(".PP\n" + roff(paragraph) + "\n")
	}
	manFlags(&b, Groups(app.Node))
	b.WriteString(".SH COMMANDS\n")
	for _, node := range walk(app.Node)[1:] {
		fmt.Fprintf(&b, ".SS %s\n%s\n", quote(roff(summary(app, node))), roff(node.Help))
		if node.DefaultCmd != nil {
			continue // its default command follows, with the options
		}
		text, examples := details(node)
		for _, paragraph := range text {
			b.WriteString(".PP\n" + roff(paragraph) + "\n")
		}
		for _, a := range node.Positional {
			fmt.Fprintf(&b, ".TP\n\\fI%s\\fR\n%s\n", roff(argument(a)), roff(describe(a)))
		}
		var own []Group
		for _, g := range Groups(node) {
			if g.Title != Global {
				own = append(own, g)
			}
		}
		manFlags(&b, own)
		manExamples(&b, examples)
	}
	b.WriteString(".SH EXIT STATUS\n.TP\n0\nAll went well.\n.TP\n1\nSomething failed; the last line on standard error says what.\n" +
		".TP\n2\nThe command line is wrong.\n")
	if len(examples) > 0 {
		b.WriteString(".SH EXAMPLES\n")
		manExamples(&b, examples)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func manFlags(b *bytes.Buffer, groups []Group) {
	for _, g := range groups {
		fmt.Fprintf(b, ".PP\n\\fB%s\\fR\n", roff(g.Title))
		for _, f := range g.Flags {
			name, value, _ := strings.Cut(flagText(f), "=")
			if value != "" {
				value = "=\\fI" + roff(value) + "\\fR"
			}
			fmt.Fprintf(b, ".TP\n\\fB%s\\fR%s\n%s\n", roff(name), value, roff(describe(f.Value)))
		}
	}
}

func manExamples(b *bytes.Buffer, lines []string) {
	if len(lines) == 0 {
		return
	}
	b.WriteString(".PP\n.nf\n.RS 4\n")
	for _, line := range lines {
		b.WriteString(roff(line) + "\n")
	}
	b.WriteString(".RE\n.fi\n")
}

// roff escapes text for roff: backslashes, hyphens that are to be pasted, and what would be a request at the start of a line.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	text = strings.ReplaceAll(text, "\n.", "\n\\&.")
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

// quote makes one argument of a macro of text.
func quote(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\(dq`) + `"` }

// walk lists a node and all visible commands below it, each before those below it.
func walk(node *kong.Node) []*kong.Node {
	all := []*kong.Node{node}
	for _, c := range Commands(node) {
		all = append(all, walk(c)...)
	}
	return all
}
