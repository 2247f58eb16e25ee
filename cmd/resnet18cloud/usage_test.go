package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/engine"
	"github.com/resnet18cloud/resnet18cloud/internal/usage"
)

// everyCommand calls f for the program and all its commands.
func everyCommand(t *testing.T, f func(parser *kong.Kong, node *kong.Node)) {
	t.Helper()
	parser, err := newParser(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(node *kong.Node)
	walk = func(node *kong.Node) {
		f(parser, node)
		for _, n := range usage.Commands(node) {
			walk(n)
		}
	}
	walk(parser.Model.Node)
}

// TestHelpOfEveryCommand checks that help fits into 80 columns, has a sentence, two examples, titles, and defaults.
func TestHelpOfEveryCommand(t *testing.T) {
	t.Parallel()
	titled := regexp.MustCompile(`^[A-Z].*:$`)
	everyCommand(t, func(parser *kong.Kong, node *kong.Node) {
		var b bytes.Buffer
		if err := usage.Help(&b, parser.Model, node); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > usage.Width {
				t.Errorf("%s: %d columns: %s", node.FullPath(), n, line)
			}
		}
		if node.Help == "" || strings.Contains(strings.TrimSuffix(node.Help, "."), ". ") {
			t.Errorf("%s: want one sentence of help, not %q", node.FullPath(), node.Help)
		}
		if node.Leaf() && len(usage.Examples(node)) < 2 {
			t.Errorf("%s: want two examples, not %q", node.FullPath(), usage.Examples(node))
		}
		for _, g := range usage.Groups(node) {
			if !titled.MatchString(g.Title) {
				t.Errorf("%s: group %q", node.FullPath(), g.Title)
			}
		}
	})
}

// shellWords splits a line as a shell does, of whose quotes it knows single ones.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// TestExamplesParse runs the parser on every example that runs this program, without files that need not exist here.
func TestExamplesParse(t *testing.T) {
	t.Parallel()
	parsed := 0
	everyCommand(t, func(_ *kong.Kong, node *kong.Node) {
		for _, line := range usage.Examples(node) {
			_, args, ours := strings.Cut(line, "resnet18cloud ")
			if !ours || strings.HasPrefix(args, "--version") {
				continue
			}
			args, _, _ = strings.Cut(args, " | ")
			args, _, _ = strings.Cut(args, " >")
			words := shellWords(strings.TrimRight(args, ")"))
			parser, err := newParser(&cli{}, kong.Exit(func(int) {}), kong.Writers(new(bytes.Buffer), new(bytes.Buffer)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(words); err != nil && !strings.Contains(err.Error(), "no such file") {
				t.Errorf("%s: example %q: %v", node.FullPath(), line, err)
			}
			parsed++
		}
	})
	if parsed < 30 {
		t.Errorf("only %d examples", parsed)
	}
}

// TestHelpCommands checks help, --version, and that a command without one of its commands prints its help.
func TestHelpCommands(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"help":              "Usage: resnet18cloud COMMAND",
		"help model pull":   "Usage: resnet18cloud model pull",
		"model":             "Usage: resnet18cloud model COMMAND",
		"keys":              "Usage: resnet18cloud keys COMMAND",
		"loadtest --help":   "--schedule=",
		"autoscaler --help": "--deployment=",
		"--version":         "resnet18cloud " + version,
		"man":               ".TH \"RESNET18CLOUD\" 1",
	} {
		stdout, _, err := command(t, strings.Fields(args)...)
		if err != nil || !strings.Contains(stdout, want) {
			t.Errorf("%s: %v, want %q in\n%.300s", args, err, want, stdout)
		}
	}
}

// TestOutcome checks the last line and the exit status.
func TestOutcome(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		interrupted bool
		err         error
		line        string
		status      int
	}{
		{false, nil, "", 0},
		{false, errReported, "", 1},
		{false, errors.New("x"), "resnet18cloud: error: x", 1},
		{false, badUsage(errors.New("x")), "resnet18cloud: error: x", 2},
		{true, context.Canceled, "resnet18cloud: stopped", 1},
		{false, context.Canceled, "resnet18cloud: error: context canceled", 1},
	} {
		if line, status := outcome(test.interrupted, test.err); line != test.line || status != test.status {
			t.Errorf("outcome(%t, %v) = %q, %d; want %q, %d", test.interrupted, test.err, line, status, test.line, test.status)
		}
	}
}

// TestMissingLabels checks that the error is about the labels, and does not advise another model.
func TestMissingLabels(t *testing.T) {
	t.Parallel()
	_, _, err := command(t, "up", "--model", "help.go", "--labels", filepath.Join(t.TempDir(), "labels.txt"), "--addr", "127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "labels.txt: no such file") || strings.Contains(err.Error(), "another --model") {
		t.Errorf("up: %v", err)
	}
}

// TestLikelyMistakes checks that each ends in one line that says what to do, and whether it is one of the command line.
func TestLikelyMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, test := range []struct {
		args, want string
		usage      bool
	}{
		{"serve", "--help", true},
		{"up --replica 2", "did you mean", true},
		{"up --replicas 0", "want at least 1", true},
		{"up --autoscale 4", "such as 1:4", true},
		{"up --images missing", "missing", true},
		{"up --model missing.pth", "no such file", false},
		{"up --tls-cert help.go", "--tls-key", true},
		{"up --precision int4", `must be one of`, true},
		{"replica --addr 127.0.0.1:0", "model pull", false},
		{"classify", "expected", true},
		{"classify --random-weights " + dir, "no file in", false},
		{"classify --random-weights --top-k 0 a.jpg", "want 1 to", true},
		{"loadtest --timeout 5 --url x", "duration", true},
		{"loadtest --workers=-5", "want 0 or more", true},
		{"completion tcsh", "bash", true},
		{"dispatcher --cache-size many", "or off", true},
		{"help model push", "only: pull", true},
		{"scale", "expected", true},
		{"scale many", "int", true},
		{"scale 0", "at least 1", true},
		{"scale 2 here", "such as http://127.0.0.1:8080", true},
		{"classify --csv --json a.jpg", "drop --json", true},
		{"classify --all-logits a.jpg", "needs --json", true},
		{"loadtest here", "such as http://127.0.0.1:8080", true},
		{"autoscaler explain here", "such as http://127.0.0.1:8000", true},
		{"status here", "such as http://127.0.0.1:8080", true},
		{"status --url here", "such as http://127.0.0.1:8080", true},
		{"autoscaler explain --url here", "such as http://127.0.0.1:8000", true},
		{"up --addr 8081", "such as 127.0.0.1:8080", true},
		{"up --replica-port 65536", "want 0 to 65535", true},
		{"up --base-path photos", "such as /photos", true},
		{"replica --addr nowhere", "such as 127.0.0.1:8080", true},
		{"replica --tls-cert help.go", "--tls-key", true},
		{"replica --default-model x", "add --models", true},
		{"dispatcher --tls-cert help.go", "--tls-key", true},
		{"dispatcher --replica-cert help.go", "--replica-key", true},
		{"dispatcher --endpoints ftp://x", "such as http://10.0.0.7:5000", true},
		{"dispatcher --autoscaler here", "such as http://autoscaler:8000", true},
		{"dispatcher --queue-capacity=-1", "want at least 1", true},
		{"dispatcher --result-ttl=-1s", "must not be negative", true},
		{"autoscaler", "--deployment NAME", true},
		{"autoscaler --min 5 --max 2", "a minimum of at least 0", true},
		{"autoscaler --slo 0s", "above 0", true},
		{"autoscaler --policy hpa-cpu", "kubectl apply", true},
		{"autoscaler --dispatchers ftp://x", "such as http://10.0.0.7:5000", true},
		{"simulate --seeds 0", "at least 1", true},
		{"simulate --seeds 0 --docs help.go", "at least 1", true},
		{"simulate --policy best", "available: deadline", true},
		{"doctor --addr nowhere", "such as 127.0.0.1:8080", true},
		{"doctor --replica-port=-1", "want 0 to 65535", true},
		{"bench --threads 0", "want 1 or more", true},
		{"loadtest --url ftp://x", "such as http://127.0.0.1:8080", true},
		{"loadtest --api oip --unique", "cannot be used", true},
		{"loadtest --schedule soon", "see resnet18cloud loadtest --help", true},
		{"loadtest --schedule rmap:1:5:1m", "one of constant, mmpp, ramp", true},
		{"loadtest --schedule ramp", "want ramp:FROM:TO:DURATION", true},
		{"loadtest --threshold p99=5", "see resnet18cloud loadtest --help", true},
		{"simulate --schedule soon", "see resnet18cloud simulate --help", true},
		{"keys new shop --scopes all", "predict, read or admin", true},
	} {
		_, _, err := command(t, strings.Fields(test.args)...)
		_, isUsage := errors.AsType[usageError](err)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || isUsage != test.usage {
			t.Errorf("%s: %v (of the command line: %t), want one line with %q", test.args, err, isUsage, test.want)
		}
	}
}

// TestOff checks the values that turn something off.
func TestOff(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{"off": -1, "0": -1, "-1": -1, "7": 7} {
		var c cli
		parser, err := newParser(&c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"dispatcher", "--cache-size=" + value}); err != nil || c.Dispatcher.CacheSize != want {
			t.Errorf("--cache-size=%s: %d, %v, want %d", value, c.Dispatcher.CacheSize, err, want)
		}
	}
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"replica", "--max-decode-time=off", "--observe-share=0.5"}); err != nil || c.Replica.MaxDecodeTime != -1 || c.Replica.ObserveShare != 0.5 {
		t.Errorf("%s, %v, %v", c.Replica.MaxDecodeTime, c.Replica.ObserveShare, err)
	}
}

// TestCompletion has shells read the scripts of this program, and bash complete a few of its words.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range usage.Shells() {
		script, _, err := command(t, "completion", shell)
		if err != nil {
			t.Fatal(err)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed", shell)
			continue
		}
		check := exec.CommandContext(t.Context(), path, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
		if shell != "bash" {
			continue
		}
		for words, want := range map[string]string{
			"resnet18cloud model pul": "pull", "resnet18cloud up --precision in": "int8", "resnet18cloud loadtest --sched": "--schedule",
			"resnet18cloud loadtest --no-": "--no-unique",
		} {
			complete := exec.CommandContext(t.Context(), path, "--norc", "-c",
				script+"\nCOMP_WORDS=("+words+"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _resnet18cloud; echo \"${COMPREPLY[*]}\"")
			if out, err := complete.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != want {
				t.Errorf("%s completes to %q, %v, want %q", words, out, err, want)
			}
		}
	}
}

// TestDoctor checks that its findings depend on what there is, and say what to do.
func TestDoctor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		f     finding
		state string
	}{
		"vnni":             {judgeCPU(engine.CPU{Levels: []string{"avx2", "avxvnni"}, FP32: "avx2", Int8: "avxvnni"}, nil), healthy},
		"generic":          {judgeCPU(engine.CPU{Levels: []string{"generic"}, FP32: "generic", Int8: "generic"}, nil), warning},
		"wrong level":      {judgeCPU(engine.CPU{}, errors.New("no such level")), problem},
		"quota":            {judgeCPUs(1, 4), healthy},
		"little memory":    {judgeMemory(100 << 20), problem},
		"some memory":      {judgeMemory(300 << 20), warning},
		"disk":             {judgeFree("/data", 1<<40), healthy},
		"full disk":        {judgeFree("/data", 1<<20), problem},
		"small disk":       {judgeFree("/data", 1<<30), warning},
		"few descriptors":  {judgeDescriptors(1024), warning},
		"many descriptors": {judgeDescriptors(1 << 20), healthy},
		"port":             {portFinding("port", "256.0.0.1:1", "another"), problem},
		"no mirror":        {doctorCmd{Mirror: t.TempDir()}.network(t.Context()), problem},
	} {
		if test.f.State != test.state || test.f.State != healthy && test.f.Advice == "" {
			t.Errorf("%s: %+v, want %s and advice", name, test.f, test.state)
		}
	}
	stdout, _, err := command(t, "doctor", "--offline", "--json", "--addr", "127.0.0.1:0", "--replica-port", "0", "--data-dir", t.TempDir())
	if err != nil && !errors.Is(err, errReported) || !strings.Contains(stdout, `"check": "weights"`) || !strings.Contains(stdout, "model pull") {
		t.Errorf("doctor: %v\n%s", err, stdout)
	}
}
