// Package cluster runs several dispatchers on three NATS servers, under load, while servers are killed, suspended,
// cut off and restarted: `make cluster`. It checks every response against docs/dispatcher.md, and prints a table of
// what clients saw. It runs real processes: dispatchers of the built program, NATS servers built from the module's
// dependency, and stand-in replicas. It has no code outside tests.
//
// A server is cut off by proxies on its routes and on its clients' connections that hold every byte, and not by
// network namespaces: proxies need neither root nor Linux, and the servers see the same, connections that fall silent
// without closing.
package cluster
