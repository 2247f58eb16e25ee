# Every target does its own set-up. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
GO ?= go
BIN := bin/resnet18cloud

.PHONY: help build test

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

build: ## Build the one static binary, bin/resnet18cloud
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/resnet18cloud

test: ## Run all tests
	$(GO) vet ./...
	$(GO) test ./...
