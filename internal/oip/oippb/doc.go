// Package oippb has the messages of the Open Inference Protocol v2 over gRPC, and its client, generated from
// open_inference.proto.
package oippb

//go:generate ./generate.sh
