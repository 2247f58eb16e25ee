// Package sim compares scaling policies by discrete-event simulation. [Run] simulates replicas with a policy under a
// load, and returns the latency that users would have seen and the cost; [Experiment.Run] does so for many policies,
// traces and seeds. The package report makes the tables and charts of docs/autoscaling.md. The command simulate calls
// it. Random numbers depend on the seed alone and are the same for all policies, so that runs with equal seeds can be
// compared in pairs.
package sim
