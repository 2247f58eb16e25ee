// Package chaos breaks a whole system while images go through it, and holds that nothing accepted is lost: `make chaos`.
// It runs real processes: dispatchers of the built program, a NATS server built from the module that we use, and
// replicas that are this test's own binary, whose labels follow from an image's bytes so that a wrong answer shows. It
// has no code outside tests.
//
// A dispatcher with the NATS server inside has its data on a small tmpfs of its own, which takes root. Without root the
// tests say so, and leave out the fault of a full disk.
package chaos
