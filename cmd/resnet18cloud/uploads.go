package main

import "time"

// uploadFlags limit what clients send to a dispatcher or a replica.
type uploadFlags struct {
	MaxImageBytes  int64 `help:"Maximum size of an upload in bytes." default:"10485760" env:"RESNET18_MAX_IMAGE_BYTES"`
	MaxUploadBytes int64 `help:"Maximum memory of all uploads together, until they are stored or classified, in bytes. When it is used up, slow uploads are refused." default:"268435456" env:"RESNET18_MAX_UPLOAD_BYTES"`
	MinUploadRate  int64 `help:"Minimum rate of an upload in bytes per second; slower ones are refused with 408. off disables the limit." type:"off" default:"16384" env:"RESNET18_MIN_UPLOAD_RATE"`
}

// decodeFlags limit what an image may cost in an engine.
type decodeFlags struct {
	MaxDecodeBytes int64         `help:"Maximum memory for decoding an image, and for all large images that are decoded at a time, in bytes. An image whose header promises more is refused with 413. off disables the limit." type:"off" default:"268435456" env:"RESNET18_MAX_DECODE_BYTES"`
	MaxDecodeTime  time.Duration `help:"Maximum time for decoding an image, without waiting for others; then it is refused with 413. off disables the limit." type:"off" default:"5s" env:"RESNET18_MAX_DECODE_TIME"`
}
