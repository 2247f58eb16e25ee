// Package cluster runs several dispatchers on three NATS servers, under load, while servers are killed, stopped, cut off
// and restarted: `make cluster`. It holds every answer against what docs/dispatcher.md promises, and prints a table of
// what clients saw. It runs real processes: dispatchers of the built program, NATS servers built from the module that we
// use, and stand-in replicas. It has no code outside tests.
//
// A server is cut off by proxies on its routes and on its clients' connections that hold every byte, and not by network
// namespaces: proxies need neither root nor Linux, and what the servers see is the same, connections that fall silent
// without an end.
package cluster
