// Package autoscaler is the loop around a policy: once a second it reads /status of the dispatchers and the
// scaler's replicas, lets the policy decide, and has the scaler do it. It keeps every decision with its
// inputs (GET /decisions), measures (GET /metrics), and can say what would change the decision (GET /explain).
// The one thing to know: figures that are old or missing never make it scale down, whatever the policy.
package autoscaler
