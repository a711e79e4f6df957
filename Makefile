# The two commands of a new user are `make demo` and `make test`; `make help` lists the rest.
export CGO_ENABLED = 0
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

GO       ?= go
BIN      := bin
TOOLS    := .tools
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
PLUGINS  := google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc \
            github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2
BUF      := $(TOOLS)/bin/buf
FUZZTIME ?= 3000x

.PHONY: help
help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build notaryd and notary into bin/
	@mkdir -p $(BIN)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: demo
demo: build ## Pay, stamp, prove and verify on a network of four processes; leaves nothing running
	./scripts/demo.sh

.PHONY: devnet
devnet: build ## Start a devnet of four nodes and leave it running until Ctrl-C
	$(BIN)/notaryd devnet

.PHONY: test
test: ## All tests
	$(GO) test -timeout 9m ./...

.PHONY: race
race: ## Tests of everything concurrent, under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 15m ./internal/bubble ./internal/load ./node ./node/gossip ./node/lifecycle ./api/... ./client/... ./cmd/... ./internal/e2e
	CGO_ENABLED=1 $(GO) test -race -timeout 10m -run 'Concurrent|AtOnce|Close|Hidden|Readers|Restart' ./node/store

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZTIME (3000x; or 60s)
	./scripts/fuzz.sh $(FUZZTIME)

.PHONY: lint
lint: tools ## gofmt, vet, staticcheck, buf lint, generated code up to date
	./scripts/lint.sh

.PHONY: proto
proto: tools ## Generate code from proto/
	$(BUF) generate
	gofmt -w proto api/gateway

BENCH ?= -out bench/results/latest.json
.PHONY: bench
bench: build ## Networks of 1, 4 and 10 real nodes beside the ceilings of their parts: BENCH="-nodes 4 -seconds 10"
	$(GO) run ./bench/cmd/bench $(BENCH)

.PHONY: bench-check
bench-check: build ## Fail where a transaction costs more, against ceilings of the same run, than bench/results/check.json says
	$(GO) run ./bench/cmd/bench -nodes 1 -live 20000 -seconds 8 -rates "" -check bench/results/check.json

GROWTH ?= -live 100000,1000000,10000000 -payments 1000000 -peers 4,10,20,25,50,100 -batches 4,25,100
.PHONY: growth
growth: ## What a transaction costs a node beside 1e5 to 1e7 outputs, and in groups of 4 to 100: GROWTH="-peers 4,100"
	@mkdir -p docs/scale
	$(GO) run ./bench/cmd/growth $(GROWTH)

.PHONY: flood
flood: build ## What floods at 10 and 100 times the honest rate do to honest clients
	$(GO) run ./bench/cmd/flood

.PHONY: benchmarks
benchmarks: ## Benchmarks of all packages, briefly
	$(GO) test -run '^$$' -bench . -benchtime 200ms ./...

SEEDS  ?= 200
FAULTY ?= 0.2
.PHONY: sim
sim: ## Simulated networks that try to break the rules: SEEDS=200 FAULTY=0.2
	$(GO) run ./internal/sim/cmd/sim -seeds $(SEEDS) -faulty $(FAULTY)

.PHONY: sim-planted
sim-planted: ## Every planted bug must be caught by the simulator
	$(GO) run -tags planted ./internal/sim/cmd/sim -planted -seeds 1000

.PHONY: soak
soak: ## Power cuts and kill -9 under load: POWER=200 KILLS=20 (the long form: 10000 and 1000)
	@POWER=$(or $(POWER),200) KILLS=$(or $(KILLS),20) ./scripts/soak.sh

.PHONY: partitions
partitions: ## Hosts in network namespaces: cut and bad links, clients' histories (as root): ROUNDS=1
	@ROUNDS=$(or $(ROUNDS),1) ./scripts/partitions.sh

.PHONY: model
model: ## Check the voting rules exhaustively (Promela, installs Debian's spin): MODEL=quick
	./scripts/model.sh $(or $(MODEL),quick)

.PHONY: bench-trust
bench-trust: ## Trust at scale, a JSON line per figure
	@$(GO) run ./trust/cmd/bench-trust

.PHONY: trust-study
trust-study: ## Attacks on trust: the tables and plots of docs/trust.md
	$(GO) run ./trust/cmd/trust-study

.PHONY: examples
examples: build ## The TypeScript client against a devnet
	./scripts/examples.sh

.PHONY: tools
tools: $(TOOLS)/stamp

# What linting and generating need; neither `make demo` nor `make test` does.
$(TOOLS)/stamp: tools/go.mod tools/go.sum tools/package-lock.json
	@mkdir -p $(TOOLS)/bin $(TOOLS)/node
	cd tools && $(GO) build -o ../$(TOOLS)/bin/ $(PLUGINS) honnef.co/go/tools/cmd/staticcheck github.com/fullstorydev/grpcurl/cmd/grpcurl
	cp tools/package.json tools/package-lock.json $(TOOLS)/node/
	cd $(TOOLS)/node && npm ci --no-audit --no-fund --loglevel=error
	cp $(TOOLS)/node/node_modules/@bufbuild/buf-linux-*/bin/buf $(TOOLS)/bin/buf
	touch $@

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN) $(TOOLS)
