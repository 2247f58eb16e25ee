// Package autoscaler runs a policy: once a second it reads /status of the dispatchers and the replicas of the
// scaler, lets the policy decide, and passes the decision to the scaler. It keeps each decision with its inputs
// (GET /decisions), exports metrics (GET /metrics), and explains what would change the decision (GET /explain).
// Metrics that are old or missing never make it scale down, whatever the policy.
package autoscaler
