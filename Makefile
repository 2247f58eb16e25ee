# Every target does its own set-up. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
GO ?= go
BIN := bin/resnet18cloud
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Reference data (real weights and images) may stand beside the repository.
SHARED ?= $(wildcard ../shared)
ifneq ($(SHARED),)
export MODEL_MIRROR ?= $(SHARED)/models
endif

SAMPLE_IMAGES := images/imagenet-sample-images
SAMPLE_IMAGES_REPO := https://github.com/EliSchwartz/imagenet-sample-images

.PHONY: help build weights up images test vet race purego e2e fuzz lint generate clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

build: ## Build the one static binary, bin/resnet18cloud
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/resnet18cloud

weights: build ## Fetch the weights into the user's cache, unless they are there
	@$(BIN) model pull || echo "No weights fetched: 'up' will start on random ones and say so." >&2

up: weights ## Start everything on this machine: dispatcher on :8080, a replica on :5000, the page
	@exec $(BIN) up $(UP_FLAGS)

images: $(SAMPLE_IMAGES) ## Put 1000 sample images, one per class, in images/imagenet-sample-images

$(SAMPLE_IMAGES):
	@mkdir -p images; rm -rf $@.part
	@if [ -d "$(SHARED)/images/imagenet-sample" ]; then cp -r "$(SHARED)/images/imagenet-sample" $@.part; \
	else git clone --depth 1 $(SAMPLE_IMAGES_REPO) $@.part && rm -rf $@.part/.git; fi
	@mv $@.part $@; echo "$$(ls $@ | grep -c JPEG) images in $@"

test: vet ## Run all tests that need nothing but Go
	$(GO) test ./...

vet: ## Check formatting and go vet
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || \
		{ echo "not formatted, repair with: gofmt -w" $$unformatted >&2; exit 1; }
	$(GO) vet ./...

race: ## Run the tests of everything concurrent under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short . ./client/... ./dispatch/... ./replica/... ./load/... ./autoscale/... ./internal/... ./model/...

purego: ## Run the engine's tests without assembly: catches code that only an assembly path exercises
	$(GO) test -tags purego -short ./engine/...

e2e: build ## Run the whole system as a user would: the README's steps, crashes, Ctrl-C under load
	$(GO) test -count=1 -tags e2e ./test/...

lint: ## Run the linters
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run

generate: ## Regenerate assembly; `git diff --exit-code` afterwards must show nothing
	$(GO) generate ./...

clean: ## Remove what was built
	rm -rf bin
