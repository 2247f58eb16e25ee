// Command pause is the first process of a pod: it keeps the pod's namespaces while containers come and go, and ends when it
// is told to. Kubernetes' own is written in C and comes from a registry, which the tests do not need.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
