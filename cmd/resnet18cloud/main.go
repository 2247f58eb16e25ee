// Command resnet18cloud serves ResNet-18 image classification: see resnet18cloud --help. Each command has a
// file here, with its flags and the wiring of the packages it needs, and nothing else.
package main

import (
	"cmp"
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
	"github.com/resnet18cloud/resnet18cloud/internal/logs"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

// cli is the command line. The help of a flag names the unit; kong adds the default and the environment variable.
type cli struct {
	Config    kong.ConfigFlag `help:"YAML file with options: keys are flag names, grouped in sections named like commands." placeholder:"FILE" env:"RESNET18_CONFIG"`
	LogLevel  slog.Level      `help:"Minimum log level: debug, info, warn or error." default:"info" env:"RESNET18_LOG_LEVEL"`
	LogFormat string          `help:"Log format on stderr: text or json." enum:"text,json" default:"text" env:"RESNET18_LOG_FORMAT"`

	Up         upCmd         `cmd:"" help:"Run everything on this machine: dispatcher, replicas, web page."`
	Replica    replicaCmd    `cmd:"" help:"Serve ResNet-18 over HTTP."`
	Bench      benchCmd      `cmd:"" help:"Benchmark inference on this machine, layer by layer."`
	Classify   classifyCmd   `cmd:"" help:"Classify image files locally; no server needed."`
	Autoscaler autoscalerCmd `cmd:"" help:"Scale replicas with the load and explain each decision."`
	Dispatcher dispatcherCmd `cmd:"" help:"Accept images over HTTP, queue them, send them to replicas and keep the results."`
	Loadtest   loadtestCmd   `cmd:"" help:"Send images to a server by a schedule and report latency as users would have seen it."`
	Status     statusCmd     `cmd:"" help:"Show the figures of a running dispatcher, live."`
	Simulate   simulateCmd   `cmd:"" help:"Compare scaling policies on simulated load."`
	Model      modelCmd      `cmd:"" help:"Fetch, convert, quantize and verify weights."`
	Keys       keysCmd       `cmd:"" help:"Make and check the keys of clients."`
	Version    versionCmd    `cmd:"" help:"Print version, commit and detected CPU features."`
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

// errReported is returned by commands that have already printed what is wrong: only the exit status is left.
var errReported = errors.New("reported")

func main() {
	// The first signal drains. After stop, the second one ends the process immediately.
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

// exitStatus is how kong exits (after --help). run recovers it, so that tests can call run.
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
		kong.Description("ResNet-18 image classification on CPUs: a dispatcher, replicas, and tools to scale and load test them."),
		kong.Configuration(config.Load),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ExplicitGroups(flagGroups),
		kong.Writers(stdout, stderr),
		kong.Vars{"schedules": schedule.Usage, "conditions": slo.Usage}, policyVars(), modelVars(),
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
		return fmt.Errorf("%w (see %s --help)", err, commandOf(err))
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
		if node := parse.Context.Selected(); node != nil {
			name = cmp.Or(node.DefaultCmd, node).FullPath()
		}
	}
	return name
}
