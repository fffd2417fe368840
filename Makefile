# Airlock. `make run` and `make test` set up what they need; `make help` lists everything.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION      := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Without its gRPC transport, which nothing here uses, Google's storage client is 13 MB smaller.
TAGS         := disable_grpc_modules
LDFLAGS      := -s -w -X github.com/airlock-run/airlock/internal/app/config.Version=$(VERSION)
GOLANGCI     := .bin/golangci-lint-2.15.0
LISTEN       ?= 127.0.0.1:8000
SOAK         ?= 10m
SCENARIO     ?= plain
ROUNDS       ?= 3
# The Go modules: ./... in one of them leaves out the others.
MODULES      := . client emulator
GO_TEST_FLAGS ?= -race -count=1 -timeout 20m
GO_TEST      := go test $(GO_TEST_FLAGS)
# Most end-to-end tests wait, for a lease or a restart: more of them run at a time than there are CPUs.
E2E          := -parallel 6 ./internal/test/e2e
PAGE_SOURCES := $(shell find web/src web/public web/index.html web/package.json web/package-lock.json web/vite.config.ts -type f 2>/dev/null)

##@ Use

.PHONY: run
run: engine build sandbox-offline $(if $(ANTHROPIC_API_KEY),sandbox-claude) ## Set up what is missing, build, and start everything on 127.0.0.1:8000
	exec bin/airlock dev --listen $(LISTEN)

.PHONY: test
test: engine test-tools build images emulator/node/node_modules/.installed ## Set up what is missing and run every test
	cd web && npm run test
	cd emulator/node && npm test
	go -C client test $(GO_TEST_FLAGS) ./...
	go -C emulator test $(GO_TEST_FLAGS) ./...
	$(GO_TEST) $$(go list ./... | grep -v /internal/test/e2e$$)
	$(GO_TEST) $(E2E)
	scripts/containers-test.sh

.PHONY: doctor
doctor: build ## Check what Airlock needs on this machine
	bin/airlock doctor

##@ Build

.PHONY: build
build: page ## The programs, in bin/
	CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: page
page: web/dist/index.html ## The web page, which is embedded into the programs

web/dist/index.html: web/node_modules/.installed $(PAGE_SOURCES)
	cd web && npm run build

web/node_modules/.installed emulator/node/node_modules/.installed: %/node_modules/.installed: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	touch $@

.PHONY: images sandbox-offline sandbox-claude sandbox-probe
images: sandbox-offline sandbox-claude sandbox-probe ## The sandbox images; alone: make sandbox-offline, -claude, -probe
sandbox-offline sandbox-claude sandbox-probe: sandbox-%: engine
	scripts/images.sh $*

.PHONY: containers
containers: engine ## The images of the API and the executor (Dockerfile.api, Dockerfile.executor)
	scripts/containers.sh

.PHONY: generate
generate: web/node_modules/.installed ## What is generated: server types, the page's types
	for module in $(MODULES); do go -C $$module generate ./...; done
	cd web && npm run generate

##@ Check

.PHONY: lint
lint: $(GOLANGCI) web/node_modules/.installed ## Linters of Go, TypeScript, shell and the OpenAPI document; generated code is up to date
	for module in $(MODULES); do (cd $$module && $(CURDIR)/$(GOLANGCI) run ./...); done
	cd web && npm run lint
	scripts/lint-shell.sh
	scripts/lint-files.sh
	scripts/lint-prose.sh
	scripts/lint-deadcode.sh
	scripts/lint-generated.sh
	go test -count=1 -run DocumentIsValid ./internal/api/contract

$(GOLANGCI):
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv .bin/golangci-lint $@

.PHONY: check
check: $(GOLANGCI) ## One package, linted and tested: make check PKG=./internal/store [RUN=TestApply]
	scripts/check.sh $(CURDIR)/$(GOLANGCI) "$(PKG)" "$(RUN)"

.PHONY: bench
ifdef BASE
bench:
	scripts/bench-base.sh $(BASE) $(ROUNDS)
else
bench: engine sandbox-offline sandbox-probe sandbox-claude ## Benchmarks, each beside what it is measured against; BASE=commit: the simulator, against that commit
	for module in . emulator; do go -C $$module test -run '^$$' -bench . -benchtime 2s -timeout 60m ./...; done
endif

.PHONY: simulate
simulate: ## The core at scale, without containers: make simulate SCENARIO="plain -executors 8" (docs/scale.md)
	go run ./internal/test/simulator/simulate $(SCENARIO)

.PHONY: faults
faults: engine sandbox-offline sandbox-claude ## Of the tests, those in which everything breaks that can
	$(GO_TEST) -run Fault $(E2E)

.PHONY: claude-newest
claude-newest: engine ## The newest Claude Code CLI: which options differ from the pinned one's, and the tests with it
	scripts/claude-newest.sh

.PHONY: soak
soak: engine sandbox-offline sandbox-claude sandbox-probe ## A thousand sandboxes in a row leave nothing behind; then faults at random, for SOAK=10m
	AIRLOCK_TEST_SOAK_SANDBOXES=1000 go test -count=1 -timeout 60m -run TestManyJobsLeaveNothing -v ./internal/sandbox/docker
	AIRLOCK_TEST_SOAK_DURATION=$(SOAK) go test -count=1 -timeout 0 -run TestSoak -v ./internal/test/e2e

##@ Set up

.PHONY: engine
engine: ## A Docker Engine: checked, and on Debian as root installed and started
	scripts/engine.sh up

.PHONY: test-tools
test-tools: ## What the tests use besides: Chromium, and gVisor where it can be had
	scripts/test-tools.sh

.PHONY: clean
clean: ## Remove what was built (not the data in .airlock)
	rm -rf bin .bin web/node_modules emulator/node/node_modules
	find web/dist -mindepth 1 ! -name .keep -delete

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
