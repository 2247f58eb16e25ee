// Package autoscale decides how many replicas there shall be. A [Policy] turns what is known at a moment, a
// [Snapshot], into a [Decision] with its reasons; a [Scaler] carries it out. The package holds the policies
// themselves: Deadline (ours), and those it is compared with. They have no clock, no log and no I/O, so that
// the same code runs in the autoscaler against real replicas (autoscaler/) and in the simulator (sim/).
// Scalers live in local/ (processes of this machine) and kube/ (a Deployment); internal/queueing holds the formulas.
package autoscale
