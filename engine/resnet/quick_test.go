//go:build !slow

package resnet

// slow leaves out most passes in plain Go, which take a second each; build with the tag slow to run them.
const slow = false
