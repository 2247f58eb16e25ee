// Package chaos causes faults in a whole system while images go through it, and checks that nothing accepted is lost:
// `make chaos`. It runs real processes: dispatchers of the built program, a NATS server built from the module's
// dependency, and replicas that are this test's own binary, whose labels depend on an image's bytes so that a wrong
// result is detected. It has no code outside tests.
//
// A dispatcher with an embedded NATS server has its data on a small tmpfs of its own, which requires root. Without
// root the tests log this, and skip the fault of a full disk.
package chaos
