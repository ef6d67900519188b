# make help lists the targets. Everything is built without cgo.
export CGO_ENABLED = 0
export PATH := $(PATH):/usr/local/go/bin
GO ?= go
BIN = bin
PROGRAMS = $(notdir $(wildcard cmd/mayfly*))
# 10s for each fuzz target; see fuzz.
FUZZTIME ?= 10s
# Of go test: RUN narrows the tests, PKG the packages.
PKG ?= ./...
RUN ?=

# Go's heap without huge pages (they cost each machine 4 MiB where the host gives them to all), and none of the
# container's CPU quota taken over. These two are //go:debug lines of cmd/mayfly too; -X replaces those.
# memprofilerate=0: else the runtime takes a sample of its first allocation, with a walk of the stack and a table of 1.4 MB, before it
# finds that nothing reads the profile: 0.15 ms of each start.
GODEBUG_DEFAULT = disablethp=1,containermaxprocs=0,updatemaxprocs=0,memprofilerate=0
LDFLAGS = -s -w -X runtime.godebugDefault=$(GODEBUG_DEFAULT)

.DEFAULT_GOAL := build
.PHONY: help build install-deps test lint race bench lab demo docs pictures fuzz fmt clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

# Go 1.26's collector writes to the end of each span of memory when it is made: 23 page faults in a start, and a tenth of what a
# small machine weighs. Only 1.26 can do without it.
GOEXPERIMENT ?= $(if $(findstring go1.26,$(shell $(GO) env GOVERSION)),nogreenteagc)
build: export GOEXPERIMENT := $(GOEXPERIMENT)
build: ## the programs, static and stripped, into bin/
	$(GO) build -trimpath -ldflags='$(LDFLAGS)' -o $(BIN)/ $(addprefix ./cmd/,$(PROGRAMS))
	$(GO) build -tags=qcow2 -trimpath -ldflags='$(LDFLAGS)' -o $(BIN)/mayfly-qcow2 ./cmd/mayfly

install-deps: ## what tests and demo need from the distribution (apt-get, as root or by sudo)
	./scripts/install-deps.sh

test: install-deps build lint ## everything: style, tests here, tests in the lab, proofs of the guests
	$(GO) run ./scripts/runtests -run='$(RUN)' $(PKG)

lint: ## gofmt, go vet, staticcheck, functions that nothing calls
	@found="$$(gofmt -s -l .)"; if [ -n "$$found" ]; then echo "gofmt -s would change (make fmt does it):" $$found; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) run ./scripts/deadcode

race: ## the tests that need no lab, with the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) run ./scripts/runtests -race -short $(PKG)

bench: ## the side-by-side tables; BENCH='-runs 5 -only start' narrows them
	$(GO) run ./bench $(BENCH)

lab: ## run CMD, a program or package with its arguments, on a KVM that can run Linux
	@test -n "$(CMD)" || { echo "make lab CMD='[flags of the lab --] ./cmd/mayfly doctor'; go run ./lab/cmd/lab -h lists the flags"; exit 2; }
	@$(GO) build -o $(BIN)/lab ./lab/cmd/lab
	@$(BIN)/lab $(CMD)

demo: ## from nothing to a booted kernel, and a picture of where the time went
	./scripts/install-deps.sh demo
	$(MAKE) build
	$(GO) run ./lab/cmd/demo

docs: ## write docs/cli.md and the tables of docs/devices.md from the table of flags
	$(GO) test ./cmd/mayfly-doc -update

pictures: $(patsubst %.dot,%.svg,$(wildcard docs/pictures/*.dot)) ## draw docs/pictures/*.svg from their sources (needs graphviz)
docs/pictures/%.svg: docs/pictures/%.dot
	dot -Tsvg $< -o $@

fuzz: ## each fuzz target for FUZZTIME
	$(GO) run ./scripts/runtests -fuzz=$(FUZZTIME) $(PKG)

fmt: ## format the sources
	gofmt -s -w .

clean: ## remove what was built here; the caches of kernels stay
	rm -rf $(BIN) bench/out demo-timeline.svg demo-timeline.html coverage.out
