//go:build slow

package resnet

// slow runs every level on every case.
const slow = true
