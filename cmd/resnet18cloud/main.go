// Command resnet18cloud serves ResNet-18 image classification: see resnet18cloud --help. Each command has a
// file of its own here, with its flags and the wiring of the parts it needs, and nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/config"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// cli is the whole command line. A field's help says the unit; kong adds the default and the variable.
type cli struct {
	Config    kong.ConfigFlag `help:"YAML file with options: keys are flag names, in sections named like commands." placeholder:"FILE" env:"RESNET18_CONFIG"`
	LogLevel  slog.Level      `help:"Least level that is logged: debug, info, warn or error." default:"info" env:"RESNET18_LOG_LEVEL"`
	LogFormat string          `help:"Form of log lines on stderr: text or json." enum:"text,json" default:"text" env:"RESNET18_LOG_FORMAT"`

	Up         upCmd         `cmd:"" help:"Run everything on this machine: dispatcher, replicas, the page."`
	Replica    replicaCmd    `cmd:"" help:"Serve ResNet-18 over HTTP."`
	Bench      benchCmd      `cmd:"" help:"Measure inference on this machine, layer by layer."`
	Classify   classifyCmd   `cmd:"" help:"Say what is on pictures, without a server."`
	Autoscaler autoscalerCmd `cmd:"" help:"Keep the number of replicas right, and say why."`
	Dispatcher dispatcherCmd `cmd:"" help:"Take images over HTTP, queue them, send them to replicas, keep the results."`
	Loadtest   loadtestCmd   `cmd:"" help:"Replay a schedule of images per second against a server and report what a user would have felt."`
	Simulate   simulateCmd   `cmd:"" help:"Compare scaling policies on loads, without machines."`
	Model      modelCmd      `cmd:"" help:"Fetch, convert and check weights."`
	Version    versionCmd    `cmd:"" help:"Say version, commit, and what was found in this CPU."`
}

// environment is what commands get instead of globals.
type environment struct {
	stdout, stderr io.Writer
	log            *slog.Logger
	logLevel       slog.Level
	logFormat      string
}

// logArgs are the arguments that make a child log as we do.
func (e *environment) logArgs() []string {
	return []string{"--log-level", e.logLevel.String(), "--log-format", e.logFormat}
}

// errReported is returned by commands that have already told the user everything: only the status is left.
var errReported = errors.New("reported")

func main() {
	// The first signal drains; stop gives the second its default meaning, which is to end at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { <-ctx.Done(); stop() }()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
		return
	case !errors.Is(err, errReported):
		fmt.Fprintln(os.Stderr, "resnet18cloud: error:", err)
	}
	os.Exit(1)
}

// exitStatus is how kong asks to leave (after --help), caught in run so that tests can call it.
type exitStatus int

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
	parser, err := kong.New(&c,
		kong.Name("resnet18cloud"),
		kong.Description("ResNet-18 image classification on ordinary CPUs: a dispatcher, replicas, and tools around them."),
		kong.Configuration(config.Load),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(stdout, stderr),
		kong.Vars{"schedules": schedule.Usage, "conditions": slo.Usage},
		kong.Exit(func(status int) { panic(exitStatus(status)) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return fmt.Errorf("%w (resnet18cloud --help lists commands and options)", err)
	}
	return kctx.Run(&environment{
		stdout: stdout, stderr: stderr, log: newLogger(stderr, c.LogLevel, c.LogFormat),
		logLevel: c.LogLevel, logFormat: c.LogFormat,
	})
}

func newLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
