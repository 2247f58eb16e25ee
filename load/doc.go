// Package load replays a schedule of images against a server and tells what a user would have felt. Each
// request has an intended time from the schedule; its latency counts from there, however late the tester or
// the server let it begin, so that a server that stalls cannot hide the requests it kept away ("coordinated
// omission"). Every request yields one Record; a Summary adds them up and can be merged with others.
package load
