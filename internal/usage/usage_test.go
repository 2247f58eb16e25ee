package usage

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// tool is a command line with one of everything.
type tool struct {
	Verbose bool      `help:"Say more."`
	Serve   serveTool `cmd:"" help:"Serve."`
	Keys    struct {
		Make  keysTool `cmd:"" default:"withargs" help:"Make keys."`
		Check struct{} `cmd:"" help:"Check keys: all of them. And more."`
	} `cmd:"" help:"Keys."`
	Inner struct{} `cmd:"" hidden:"" help:"Hidden."`
}

type serveTool struct {
	Format string        `short:"f" help:"Format of it." enum:",text,json" default:"" env:"TOOL_FORMAT"`
	Wait   time.Duration `help:"Time to wait." default:"5s" group:"Limits:"`
	Room   int64         `help:"Maximum size in bytes." default:"1048576" group:"Limits:"`
	Names  []string      `help:"Names of it."`
	Secret string        `help:"Not shown." hidden:""`
	Out    string        `help:"File to write." required:"" placeholder:"FILE"`
	Dirs   []string      `arg:"" optional:"" help:"Folders."`
}

func (serveTool) Help() string {
	return "A paragraph\nof two lines.\n\n  tool serve --out a\n  tool serve \\\n    --out b\n\nAnother's paragraph."
}

type keysTool struct {
	Kind string `arg:"" help:"Kind of key." enum:"short,long"`
}

func (keysTool) Help() string { return "  tool keys short" }

func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(new(tool), kong.Name("my-tool"), kong.Description("A tool."))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// find returns the command that words name.
func find(t *testing.T, app *kong.Application, path string) *kong.Node {
	t.Helper()
	for _, node := range walk(app.Node) {
		if strings.TrimSpace(words(node)) == path {
			return node
		}
	}
	t.Fatalf("no command %q", path)
	return nil
}

const serveHelp = `Usage: my-tool serve --out=FILE [DIRS ...] [OPTIONS]

Serve.

A paragraph of two lines.

Another's paragraph.

Examples:
  tool serve --out a
  tool serve \
    --out b

Arguments:
  DIRS ...                Folders.

Options:
  -f, --format=text|json  Format of it. [$TOOL_FORMAT]
  --names=TEXT,...        Names of it.
  --out=FILE              File to write.

Limits:
  --wait=TIME             Time to wait (default 5s).
  --room=N                Maximum size in bytes (default 1048576, 1 MiB).

Options of all commands:
  -h, --help              Show context-sensitive help.
  --verbose               Say more.
`

const keysHelp = `Usage: my-tool keys KIND [COMMAND] [OPTIONS]

Keys.

Examples:
  tool keys short

Arguments:
  KIND                    Kind of key.

Commands:
  make                    Make keys.
  check                   Check keys: all of them. And more.

Options of all commands:
  -h, --help              Show context-sensitive help.
  --verbose               Say more.

For a command's own help: my-tool keys COMMAND --help
`

func TestHelp(t *testing.T) {
	t.Parallel()
	app := model(t)
	for path, want := range map[string]string{"serve": serveHelp, "keys": keysHelp} {
		var b bytes.Buffer
		if err := Help(&b, app, find(t, app, path)); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("help of %s:\n%s\nwant\n%s", path, &b, want)
		}
	}
	var b bytes.Buffer
	if err := Help(&b, app, nil); err != nil || !strings.HasPrefix(b.String(), "Usage: my-tool COMMAND [OPTIONS]\n\nA tool.\n") || strings.Contains(b.String(), "Hidden") {
		t.Errorf("help of the program: %v\n%s", err, &b)
	}
}

// TestWrap checks where lines break.
func TestWrap(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text         string
		first, other int
		width        int
		want         string
	}{
		{"", 0, 0, 10, "\n"},
		{"one two three", 0, 0, 7, "one two\nthree\n"},
		{"one two three", 1, 2, 8, " one two\n  three\n"},
		{"müßig sein", 0, 0, 10, "müßig sein\n"}, // ten characters, twelve bytes
		{"mode=a|b|c|d", 0, 0, 9, "mode=a|b|\nc|d\n"},
		{"abcdefghij", 0, 0, 4, "abcd\nefgh\nij\n"},
	} {
		var b bytes.Buffer
		wrap(&b, test.text, test.first, test.other, test.width)
		if b.String() != test.want {
			t.Errorf("wrap(%q, %d, %d, %d) = %q, want %q", test.text, test.first, test.other, test.width, b.String(), test.want)
		}
	}
}

// TestMan checks that text cannot become a request or an escape of roff, and what is in the page.
func TestMan(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{".TH": `\&.TH`, "a\n.SH b": "a\n\\&.SH b", `a\b`: `a\eb`, "--x": `\-\-x`, "'a": `\(aqa`, "~/a": `\(ti/a`} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
	var b bytes.Buffer
	if err := Man(&b, model(t), "1.2"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		".TH \"MY-TOOL\" 1 \"\" \"my-tool 1.2\"\n", ".SS \"my\\-tool serve \\-\\-out=FILE [DIRS ...] [OPTIONS]\"\nServe.\n",
		"\\fB\\-f, \\-\\-format\\fR=\\fItext|json\\fR\n", "tool serve \\e\n", ".PP\nAnother\\(aqs paragraph.\n", ".SH EXIT STATUS\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	if known := regexp.MustCompile(`(?m)^\.(TH|SH|SS|PP|TP|B|nf|fi|RS 4|RE)\b`); len(known.FindAllString(b.String(), -1)) != strings.Count("\n"+b.String(), "\n.") {
		t.Errorf("a request that is not one of the page's:\n%s", &b)
	}
	if strings.Contains(b.String(), "Not shown") || strings.Contains(b.String(), "Hidden") {
		t.Errorf("hidden things are in\n%s", &b)
	}
}

// TestCompletion has shells read the scripts, and bash complete words.
func TestCompletion(t *testing.T) {
	t.Parallel()
	app := model(t)
	if err := Completion(new(bytes.Buffer), app, "tcsh"); err == nil || !strings.Contains(err.Error(), "bash, zsh, fish") {
		t.Errorf("tcsh: %v", err)
	}
	for _, shell := range Shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			var script bytes.Buffer
			if err := Completion(&script, app, shell); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(script.String(), "secret") || strings.Contains(script.String(), "inner") {
				t.Errorf("hidden things are in\n%s", &script)
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("%s is not installed", shell)
			}
			check := exec.CommandContext(t.Context(), path, "-n")
			check.Stdin = bytes.NewReader(script.Bytes())
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			if shell != "bash" {
				return
			}
			for words, want := range map[string]string{
				"my-tool s": "serve", "my-tool serve --r": "--room", "my-tool serve --format j": "json", "my-tool serve --format = t": "text",
				"my-tool keys lo": "long", "my-tool keys ch": "check", "my-tool keys make sh": "short", "my-tool --verb": "--verbose",
				"my-tool serve --out x": "", "my-tool in": "",
			} {
				complete := exec.CommandContext(t.Context(), path, "--norc", "-c",
					script.String()+"\nCOMP_WORDS=("+words+"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _my_tool; echo \"${COMPREPLY[*]}\"")
				if out, err := complete.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != want {
					t.Errorf("%s completes to %q, %v, want %q", words, out, err, want)
				}
			}
		})
	}
}

// TestBrief checks that a description fits into a list and into quotes.
func TestBrief(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"One. Two.": "One", "Kind: a or b.": "Kind", "The user's file.": "The users file", strings.Repeat("ä", 60): strings.Repeat("ä", 33) + "...",
	} {
		if got := brief(text); got != want {
			t.Errorf("brief(%q) = %q, want %q", text, got, want)
		}
	}
}
