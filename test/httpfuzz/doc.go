// Package httpfuzz sends random and mutated HTTP to running dispatchers, with and without keys, and to a running replica,
// beside a good client: `make httpfuzz`. A server must answer each request with a status of the client's, or with 503; it
// must not panic, must serve the good client, and must use no more goroutines and file descriptors afterwards. It has no
// code outside tests.
package httpfuzz
