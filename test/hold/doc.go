// Package hold has many clients hold what a server gives them, by sending slowly, not reading, or waiting, and compares
// what well-behaved clients feel with and without them: `make hold`. It runs real processes: a dispatcher and a replica of
// the built binary, and replicas of this test's own, which take 20 ms for an image. It has no code outside tests.
package hold
