//go:build !slow

package quantize

// slow is false unless tests are built with the tag slow.
const slow = false
