// Package e2e uses the whole system as its users do: the built binary, started with up, spoken to by curl, jq,
// Python and a browser; killed, stopped, and run without weights. `make e2e`. It has no code outside tests.
package e2e
