//go:build !slow

package decode

// slow has the tests decode pictures at the default limits.
const slow = false
