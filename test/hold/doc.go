// Package hold makes many clients occupy a server's resources, by sending slowly, not reading, or waiting, and
// compares the latency of well-behaved clients with and without them: `make hold`. It runs real processes: a
// dispatcher and a replica of the built binary, and replicas in the test's own process, which take 20 ms per image.
// It has no code outside tests.
package hold
