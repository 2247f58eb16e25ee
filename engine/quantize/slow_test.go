//go:build slow

package quantize

// slow has TestAgreement use all pictures.
const slow = true
