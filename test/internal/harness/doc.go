// Package harness has the common parts of the system test suites: real processes that are killed, stopped and
// restarted, stand-in replicas whose labels depend on an image's bytes, proxies that hold or cut connections, a
// steady load that records every response, and pure functions that judge the responses. The tests under test/ use it.
package harness
