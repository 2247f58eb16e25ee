package usage

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells are those that Completion writes scripts for.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Completion writes a script that has a shell complete commands, options, and values that an option is limited to. Other
// arguments are completed as names of files.
func Completion(w io.Writer, app *kong.Application, shell string) error {
	var b bytes.Buffer
	switch shell {
	case "bash":
		bash(&b, app)
	case "zsh":
		zsh(&b, app)
	case "fish":
		fish(&b, app)
	default:
		return fmt.Errorf("no completion for %q, only for %s", shell, strings.Join(Shells(), ", "))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// words is the path of a command from the program, each word after a space: " model pull".
func words(node *kong.Node) string {
	if node.Parent == nil {
		return ""
	}
	return words(node.Parent) + " " + node.Name
}

// paths are the quoted paths of all commands, as shell patterns.
func paths(app *kong.Application) string {
	var all []string
	for _, node := range walk(app.Node)[1:] {
		all = append(all, single(words(node)))
	}
	return strings.Join(all, "|")
}

// flagsOf are the options of a command, also of its default command and of the program.
func flagsOf(node *kong.Node) (flags []*kong.Flag) {
	for _, g := range Groups(node) {
		flags = append(flags, g.Flags...)
	}
	return flags
}

// choices are the values of a command's arguments if they are limited.
func choices(node *kong.Node) (values []string) {
	for _, a := range effective(node).Positional {
		values = append(values, Values(a)...)
	}
	return values
}

// single quotes text for a shell. No text of this program has a single quote in it that fish and the others quote differently.
func single(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// brief is a description for a list: the first sentence, and of that at most a line.
func brief(text string) string {
	text, _, _ = strings.Cut(text, ". ")
	text, _, _ = strings.Cut(text, ": ")
	text = strings.TrimSuffix(strings.ReplaceAll(text, "'", ""), ".")
	if len(text) > 70 {
		text = strings.ToValidUTF8(text[:67], "") + "..."
	}
	return text
}

const bashHead = `# bash completion for NAME. To load it: source <(NAME completion bash)
# For all sessions: NAME completion bash > ~/.local/share/bash-completion/completions/NAME
_FUNC() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} at= words= values= i
  # bash splits --option=value into three words
  if [[ $word == = ]]; then word=
  elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD - 2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at ${COMP_WORDS[i]}" in
      PATHS) at="$at ${COMP_WORDS[i]}" ;;
    esac
  done
  COMPREPLY=()
  case "$at $before" in
`

func bash(b *bytes.Buffer, app *kong.Application) {
	b.WriteString(fill(bashHead, app))
	for _, node := range walk(app.Node) {
		for _, f := range flagsOf(node) {
			if f.IsBool() {
				continue
			}
			name := single(words(node) + " --" + f.Name)
			if values := Values(f.Value); len(values) > 0 {
				fmt.Fprintf(b, "    %s) COMPREPLY=($(compgen -W %s -- \"$word\")); return ;;\n", name, single(strings.Join(values, " ")))
			} else {
				fmt.Fprintf(b, "    %s) return ;;\n", name)
			}
		}
	}
	b.WriteString("  esac\n  case \"$at\" in\n")
	for _, node := range walk(app.Node) {
		var commands, options []string
		for _, c := range Commands(node) {
			commands = append(commands, c.Name)
		}
		for _, f := range flagsOf(node) {
			options = append(options, "--"+f.Name)
			if f.Tag.Negatable != "" {
				options = append(options, "--no-"+f.Name)
			}
		}
		fmt.Fprintf(b, "    %s) words=%s values=%s ;;\n", single(words(node)), single(strings.Join(options, " ")),
			single(strings.Join(append(commands, choices(node)...), " ")))
	}
	b.WriteString(fill(`  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  else
    COMPREPLY=($(compgen -W "$values" -- "$word"))
  fi
}
complete -o default -F _FUNC NAME
`, app))
}

const zshHead = `#compdef NAME
# zsh completion for NAME. To load it: source <(NAME completion zsh)
# For all sessions: NAME completion zsh > a file _NAME in a folder of $fpath
_FUNC() {
  local word=$words[CURRENT] before=$words[CURRENT-1] at= i
  local -a list
  for ((i = 2; i < CURRENT; i++)); do
    case "$at $words[i]" in
      PATHS) at="$at $words[i]" ;;
    esac
  done
  if [[ $word == --*=* ]]; then
    before=${word%%=*}
    compset -P '*='
    word=
  fi
  case "$at $before" in
`

func zsh(b *bytes.Buffer, app *kong.Application) {
	b.WriteString(fill(zshHead, app))
	for _, node := range walk(app.Node) {
		for _, f := range flagsOf(node) {
			if f.IsBool() {
				continue
			}
			action := "_files"
			if values := Values(f.Value); len(values) > 0 {
				action = "compadd -- " + strings.Join(values, " ")
			}
			fmt.Fprintf(b, "    %s) %s; return ;;\n", single(words(node)+" --"+f.Name), action)
		}
	}
	b.WriteString("  esac\n  if [[ $word == -* ]]; then\n    case \"$at\" in\n")
	for _, node := range walk(app.Node) {
		var items []string
		for _, f := range flagsOf(node) {
			items = append(items, single("--"+f.Name+":"+brief(f.Help)))
			if f.Tag.Negatable != "" {
				items = append(items, single("--no-"+f.Name+":"+brief("The opposite of --"+f.Name)))
			}
		}
		fmt.Fprintf(b, "      %s) list=(%s) ;;\n", single(words(node)), strings.Join(items, " "))
	}
	b.WriteString("    esac\n    _describe option list\n    return\n  fi\n  case \"$at\" in\n")
	for _, node := range walk(app.Node) {
		var items []string
		for _, c := range Commands(node) {
			items = append(items, single(c.Name+":"+brief(c.Help)))
		}
		for _, v := range choices(node) {
			items = append(items, single(v))
		}
		if len(items) > 0 {
			fmt.Fprintf(b, "    %s) list=(%s) ;;\n", single(words(node)), strings.Join(items, " "))
		}
	}
	b.WriteString(fill(`  esac
  if (( $#list )); then _describe command list; else _files; fi
}
if [[ $funcstack[1] == _FUNC ]]; then _FUNC "$@"; else compdef _FUNC NAME; fi
`, app))
}

const fishHead = `# fish completion for NAME. To load it: NAME completion fish | source
# For all sessions: NAME completion fish > ~/.config/fish/completions/NAME.fish
function __FUNC_at
  set -l at
  for word in (commandline -opc)[2..]
    switch "$at $word"
      case FISHPATHS
        set at "$at $word"
    end
  end
  test "$at" = "$argv[1]"
end
`

func fish(b *bytes.Buffer, app *kong.Application) {
	b.WriteString(fill(fishHead, app))
	for _, node := range walk(app.Node) {
		start := fmt.Sprintf("complete -c %s -n %s", app.Name, `"__`+function(app)+`_at '`+words(node)+`'"`)
		for _, c := range Commands(node) {
			fmt.Fprintf(b, "%s -f -a %s -d %s\n", start, c.Name, single(brief(c.Help)))
		}
		if values := choices(node); len(values) > 0 {
			fmt.Fprintf(b, "%s -f -a %s\n", start, single(strings.Join(values, " ")))
		}
		for _, f := range flagsOf(node) {
			line := fmt.Sprintf("%s -l %s -d %s", start, f.Name, single(brief(f.Help)))
			if f.Short != 0 {
				line += " -s " + string(f.Short)
			}
			switch values := Values(f.Value); {
			case len(values) > 0:
				line += " -x -a " + single(strings.Join(values, " "))
			case !f.IsBool():
				line += " -r"
			}
			b.WriteString(line + "\n")
			if f.Tag.Negatable != "" {
				fmt.Fprintf(b, "%s -l no-%s -d %s\n", start, f.Name, single("The opposite of --"+f.Name))
			}
		}
	}
}

// function is the program's name as part of a function's name.
func function(app *kong.Application) string { return strings.ReplaceAll(app.Name, "-", "_") }

// fill puts the names of the program and of its commands into a template.
func fill(template string, app *kong.Application) string {
	quoted := strings.Split(paths(app), "|")
	return strings.NewReplacer("FISHPATHS", strings.Join(slices.Clone(quoted), " "), "PATHS", paths(app), "FUNC", function(app), "NAME", app.Name).Replace(template)
}
