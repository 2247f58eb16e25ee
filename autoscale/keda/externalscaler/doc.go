// Package externalscaler is the gRPC protocol between KEDA and scalers outside it, generated from
// externalscaler.proto.
package externalscaler

//go:generate ./generate.sh
