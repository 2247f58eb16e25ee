//go:build !slow

package engine

// slow is false unless tests are built with the tag slow.
const slow = false
