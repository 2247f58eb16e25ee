//go:build only_replica

package main

import (
	"github.com/alecthomas/kong"

	"github.com/resnet18cloud/resnet18cloud/internal/config"
)

const (
	about = "A replica of ResNet18Cloud, as its container image has it; the whole program has more commands."
	// fewer is what errors of the command line add where commands may be missing.
	fewer = "; this program, of the replica's image, has fewer commands than the whole one"
)

// cli is the command line.
type cli struct {
	commonFlags

	Replica replicaCmd `cmd:"" help:"Serve ResNet-18 over HTTP."`
	Version versionCmd `cmd:"" help:"Print version, commit and detected CPU features."`
	Help    helpCmd    `cmd:"" help:"Show the help of a command."`
}

// vars are what the help of flags is completed with.
func vars() []kong.Option { return []kong.Option{modelVars()} }

// loadFile reads the file of --config.
var loadFile kong.ConfigurationLoader = config.LoadShared
