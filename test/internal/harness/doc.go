// Package harness is what the suites of whole systems share: real processes that are killed, stopped and started
// again, stand-in replicas whose labels follow from an image's bytes, proxies that hold or cut connections, a steady
// load that keeps every answer, and the pure rules by which those answers are judged. Tests under test/ call it.
package harness
