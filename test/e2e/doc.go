// Package e2e uses the whole system like its users do: the built binary, started with up, with curl, jq, Python and a
// browser as clients; killed, suspended, and run without weights. `make e2e`. It has no code outside tests.
package e2e
