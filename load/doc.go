// Package load replays a schedule of images against a server and measures the latency as users would have seen it. The
// schedule gives each request an intended time, from which its latency counts. A request that waits because the server
// or the tester is slow is therefore measured in full ("coordinated omission" would hide it). Run sends the images to a
// target.Target, makes a result.Record of each answer, and returns their result.Summary.
package load
