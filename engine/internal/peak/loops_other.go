//go:build purego || !(amd64 || arm64)

package peak

var fp32, int8s []leveled
