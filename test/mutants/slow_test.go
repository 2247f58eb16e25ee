//go:build slow

package main

// slow has more mutants tried.
const slow = true
