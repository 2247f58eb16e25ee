//go:build !only_replica && !only_dispatcher

package main

import (
	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/config"
	"github.com/resnet18cloud/resnet18cloud/load/slo"
	"github.com/resnet18cloud/resnet18cloud/schedule"
)

const (
	about = "ResNet-18 image classification on CPUs: a dispatcher, replicas, and tools to scale and load test them."
	// fewer is what errors of the command line add where commands may be missing.
	fewer = ""
)

// cli is the command line.
type cli struct {
	commonFlags

	Up         upCmd         `cmd:"" help:"Run everything on this machine: dispatcher, replicas, web page."`
	Classify   classifyCmd   `cmd:"" help:"Classify image files locally; no server needed."`
	Model      modelCmd      `cmd:"" help:"Fetch, convert, quantize and verify weights."`
	Doctor     doctorCmd     `cmd:"" help:"Check this machine: CPU, weights, ports, disk, limits, network."`
	Replica    replicaCmd    `cmd:"" help:"Serve ResNet-18 over HTTP."`
	Dispatcher dispatcherCmd `cmd:"" help:"Accept images over HTTP, queue them, send them to replicas and keep the results."`
	Autoscaler autoscalerCmd `cmd:"" help:"Scale replicas with the load and explain each decision."`
	Loadtest   loadtestCmd   `cmd:"" help:"Send images to a server by a schedule and report latency as users would have seen it."`
	Scale      scaleCmd      `cmd:"" help:"Change the number of replicas of a running 'up'."`
	Status     statusCmd     `cmd:"" help:"Show the figures of a running dispatcher, live."`
	Bench      benchCmd      `cmd:"" help:"Benchmark inference on this machine, layer by layer."`
	Simulate   simulateCmd   `cmd:"" help:"Compare scaling policies on simulated load."`
	Keys       keysCmd       `cmd:"" help:"Make and check the keys of clients."`
	Completion completionCmd `cmd:"" help:"Print a script that has a shell complete commands and options."`
	Man        manCmd        `cmd:"" help:"Print the manual page."`
	Version    versionCmd    `cmd:"" help:"Print version, commit and detected CPU features."`
	Help       helpCmd       `cmd:"" help:"Show the help of a command."`
}

// vars are what the help of flags is completed with.
func vars() []kong.Option {
	return []kong.Option{kong.Vars{"schedules": schedule.Usage, "conditions": slo.Usage}, policyVars(), simulatedVars(), modelVars()}
}

// loadFile reads the file of --config.
var loadFile kong.ConfigurationLoader = config.Load
