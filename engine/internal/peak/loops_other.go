//go:build purego || !(amd64 || arm64)

package peak

var fp32, bf16s, int8s []leveled
