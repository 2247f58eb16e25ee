// Package chaos kills and disturbs a whole system while requests go through it, and holds that nothing
// accepted is lost: `make chaos`. It runs real processes: dispatchers of the built binary, a NATS server built
// from the module we use, and replicas that are this test's own binary, whose labels follow from an image's
// bytes so that a wrong answer shows. It has no code outside tests.
package chaos
