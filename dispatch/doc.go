// Package dispatch implements the dispatcher: clients send images over HTTP and receive a result, or 202 with a
// request ID. It stores accepted requests in a durable queue, sends them to replicas as these have free slots, and
// keeps the results under their IDs for a limited time. The dispatcher command runs it, and the up command runs it in
// its own process. A 202 response means that the request is stored: every accepted request ends exactly once, as
// completed, failed with a reason, or cancelled.
//
// The files follow the path of a request: submit.go accepts it, worker.go processes it, result.go returns the result,
// reconcile.go repairs what storage has lost. Decisions are separate from their execution: lifecycle.go has the
// rules, record.go the changes of a record, estimate.go the predictions. recorder.go counts requests, responses.go
// has the JSON bodies, routes.go the HTTP API.
package dispatch
