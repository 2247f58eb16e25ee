// Command resnet18cloud serves ResNet-18 image classification: see resnet18cloud --help. Each command has a
// file here, with its flags and the wiring of the packages it needs, and nothing else.
//
// The build tags only_dispatcher and only_replica make the smaller programs of the two container images: the same
// code with fewer commands. The files commands*.go say which.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/logs"
	"github.com/resnet18cloud/resnet18cloud/internal/usage"
)

// commonFlags are the options of every program. The help of a flag names the unit; kong adds the default and the environment
// variable.
type commonFlags struct {
	Config    kong.ConfigFlag `help:"YAML file with options: keys are flag names, grouped in sections named like commands." placeholder:"FILE" env:"RESNET18_CONFIG"`
	LogLevel  slog.Level      `help:"Minimum log level: debug, info, warn or error." placeholder:"LEVEL" default:"info" env:"RESNET18_LOG_LEVEL"`
	LogFormat string          `help:"Log format on stderr: text or json." enum:"text,json" default:"text" env:"RESNET18_LOG_FORMAT"`
	Print     versionFlag     `name:"version" help:"Print the version and exit."`
}

// flagGroups are the headings under which --help lists the flags of commands that have many. Flags without a group come
// first. The other groups follow in the order of their first flags.
var flagGroups = []kong.Group{
	{Key: "replicas", Title: "Replicas:"},
	{Key: "dispatchers", Title: "Dispatchers:"},
	{Key: "security", Title: "TLS, keys and access:"},
	{Key: "storage", Title: "Queue and results:"},
	{Key: "nats", Title: "External NATS:"},
	{Key: "limits", Title: "Limits:"},
	{Key: "model", Title: "Weights and inference:"},
	{Key: "traces", Title: "Traces:"},
	{Key: "scaling", Title: "Scaling:"},
	{Key: "kubernetes", Title: "Kubernetes:"},
	{Key: "target", Title: "Server under test:"},
	{Key: "images", Title: "Images:"},
	{Key: "load", Title: "Load:"},
	{Key: "search", Title: "Search for the highest rate:"},
	{Key: "report", Title: "Output and conditions:"},
}

// environment is passed to commands instead of globals.
type environment struct {
	stdout, stderr io.Writer
	log            *slog.Logger
	logLevel       slog.Level
	logFormat      string
}

// logArgs are the arguments that make a child process log in the same way.
func (e *environment) logArgs() []string {
	return []string{"--log-level", e.logLevel.String(), "--log-format", e.logFormat}
}

// quiet is an environment whose log is for somebody who reads along: see logs.Limited. With --log-level debug, and in JSON, it
// stays as it is.
func (e *environment) quiet() *environment {
	if e.logLevel <= slog.LevelDebug || e.logFormat != "text" {
		return e
	}
	limited := *e
	limited.stderr = &logs.Limited{W: e.stderr}
	limited.log = logs.New(limited.stderr, e.logLevel, e.logFormat)
	return &limited
}

// errReported is returned by commands that have already printed what is wrong: only the exit status is left.
var errReported = errors.New("reported")

// usageError is an error of the command line: the exit status is 2.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// badUsage marks an error as one of the command line. It returns nil for nil.
func badUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// seeHelp marks an error as one of the command line that a command's help explains. It returns nil for nil.
func seeHelp(command string, err error) error {
	if err == nil {
		return nil
	}
	return badUsage(fmt.Errorf("%w (see resnet18cloud %s --help)", err, command))
}

func main() {
	// The first signal drains. After stop, the second one ends the process immediately.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { <-ctx.Done(); stop() }()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	line, status := outcome(ctx.Err() != nil, err)
	if line != "" {
		fmt.Fprintln(os.Stderr, line)
	}
	os.Exit(status)
}

// outcome is the last line on stderr and the exit status of a command that returned err. interrupted reports whether it was
// asked to stop.
func outcome(interrupted bool, err error) (line string, status int) {
	_, usage := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return "", 0
	case errors.Is(err, errReported):
		return "", 1
	case interrupted && errors.Is(err, context.Canceled):
		return "resnet18cloud: stopped", 1
	case usage:
		return "resnet18cloud: error: " + err.Error(), 2
	}
	return "resnet18cloud: error: " + err.Error(), 1
}

// exitStatus is how kong exits (after --help). run recovers it, so that tests can call run.
type exitStatus int

// newParser makes the parser of the command line.
func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, slices.Concat(addressMappers(), []kong.Option{
		kong.Name("resnet18cloud"),
		kong.Description(about),
		kong.Configuration(loadFile),
		kong.Help(func(_ kong.HelpOptions, ctx *kong.Context) error {
			return usage.Help(ctx.Stdout, ctx.Model, named(ctx))
		}),
		kong.ExplicitGroups(flagGroups),
		kong.NamedMapper("off", offMapper{}),
	}, vars(), options)...)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			status, ok := p.(exitStatus)
			if !ok {
				panic(p)
			}
			if status != 0 {
				err = errReported
			}
		}
	}()
	var c cli
	parser, err := newParser(&c, kong.Writers(stdout, stderr),
		kong.Exit(func(status int) { panic(exitStatus(status)) }), kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if node := incomplete(err); node != nil {
		return usage.Help(stdout, parser.Model, node)
	}
	if err != nil {
		return badUsage(fmt.Errorf("%w (see %s --help%s)", err, commandOf(err), fewer))
	}
	return kctx.Run(&environment{
		stdout: stdout, stderr: stderr, log: logs.New(stderr, c.LogLevel, c.LogFormat),
		logLevel: c.LogLevel, logFormat: c.LogFormat,
	})
}

// commandOf is the command whose arguments an error of kong is about, as far as it was recognized.
func commandOf(err error) string {
	name := "resnet18cloud"
	if parse, ok := errors.AsType[*kong.ParseError](err); ok && parse.Context != nil {
		if node := named(parse.Context); node != nil {
			name = node.FullPath()
		}
	}
	return name
}

// named is the command that was named, nil if none was. If that is a command with a default command, it is not the latter.
func named(ctx *kong.Context) *kong.Node {
	node := ctx.Selected()
	if node != nil && node.Parent != nil && node.Parent.DefaultCmd == node && !slices.Contains(ctx.Args, node.Name) {
		return node.Parent
	}
	return node
}

// incomplete returns the command that was named without one of the commands that it has, nil if err is about anything else.
func incomplete(err error) *kong.Node {
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parse.Context == nil || !strings.HasPrefix(err.Error(), "expected one of ") {
		return nil
	}
	node := parse.Context.Selected()
	if node == nil || len(node.Children) == 0 || node.DefaultCmd != nil {
		return nil
	}
	return node
}
