// Package soak runs a dispatcher and a replica for a long time under good, slow, broken, hostile and flooding clients
// at once, and checks that good ones are served, that nothing accepted is lost, and that memory, goroutines and
// descriptors stay flat. Run it with make soak.
package soak
