//go:build !slow

package main

// slow is false unless tests are built with the tag slow.
const slow = false
