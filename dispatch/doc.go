// Package dispatch is the front door: image bytes come in over HTTP, a 202 with an id or an answer goes out.
// What it accepts it stores in a durable queue, sends to replicas as these have room, and keeps the results
// under their ids for a time. The command dispatcher runs it, and up runs it in its own process. The one
// thing to know: 202 means stored, and every request so accepted ends exactly once, completed, failed with a
// reason, or cancelled.
//
// The way of a request through the files: submit.go takes it in, worker.go gets it done, result.go hands it
// out, books.go finds what storage has lost. What is decided on that way stands apart from what is done: lifecycle.go
// holds the rules, record.go the changes of a record, estimate.go the predictions; recorder.go counts. answers.go holds
// the JSON, routes.go the whole HTTP surface.
package dispatch
