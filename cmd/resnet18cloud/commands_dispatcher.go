//go:build only_dispatcher

package main

import (
	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/config"
)

const (
	about = "The dispatcher and the autoscaler of ResNet18Cloud, as their container image has them; the whole program has more commands."
	// fewer is what errors of the command line add where commands may be missing.
	fewer = "; this program, of the dispatcher's image, has fewer commands than the whole one"
)

// cli is the command line.
type cli struct {
	commonFlags

	Dispatcher dispatcherCmd `cmd:"" help:"Accept images over HTTP, queue them, send them to replicas and keep the results."`
	Autoscaler autoscalerCmd `cmd:"" help:"Scale replicas with the load and explain each decision."`
	Status     statusCmd     `cmd:"" help:"Show the figures of a running dispatcher, live."`
	Keys       keysCmd       `cmd:"" help:"Make and check the keys of clients."`
	Version    versionCmd    `cmd:"" help:"Print version, commit and detected CPU features."`
	Help       helpCmd       `cmd:"" help:"Show the help of a command."`
}

// vars are what the help of flags is completed with.
func vars() []kong.Option { return []kong.Option{policyVars()} }

// loadFile reads the file of --config.
var loadFile kong.ConfigurationLoader = config.LoadShared
