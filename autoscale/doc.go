// Package autoscale decides how many replicas are needed. A [Policy] turns a [Snapshot] of the metrics into a
// [Decision] with its reasons; a [Scaler] applies it. The package holds the policies: Deadline (the default) and
// those it is compared with; [Kinds] lists them. They have no clock, no log and no I/O, so that the same code runs in
// the autoscaler (autoscaler/) and in the simulator (sim/).
// Scalers live in local/ (processes of this machine) and kube/ (a Deployment); internal/queueing holds the formulas.
package autoscale
