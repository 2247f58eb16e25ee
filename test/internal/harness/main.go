package harness

import (
	"fmt"
	"os"
	"testing"
)

// programs is the folder of the programs built for this run; set by Main.
var programs string

// Main runs a suite's tests or, in a process started by StartReplica, a replica. TestMain passes its result to
// os.Exit.
func Main(m *testing.M) int {
	if addr := os.Getenv(replicaAddr); addr != "" {
		if err := serveReplica(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "resnet18cloud-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	programs = dir
	defer func() { _ = os.RemoveAll(dir) }()
	return m.Run()
}
