// Package rivals runs the code of other projects' autoscalers, Knative's and Kubernetes', beside ours of the same name:
// random streams of figures go to both, and both must decide alike at every tick. It is a module of its own because of
// their dependencies. Run it with make rivals.
package rivals
