// Package sim compares scaling policies without machines: [Run] plays a load against simulated replicas
// under a policy, event by event, and returns what users would have felt and what it would have cost;
// [Compare] does so for many policies, traces and seeds, and the report makes the tables and pictures of
// docs/autoscaling.md. The command simulate calls it. The one thing to know: chance comes from the seed alone
// and is the same for all policies, so that equal seeds may be compared pair by pair.
package sim
