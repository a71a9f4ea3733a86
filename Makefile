# wfrt: everything that is done to this repository. `make help` lists it.

SHELL := /bin/bash
GO ?= go
WFRT := bin/wfrt
PLUGINS := hello orders
GOLANGCI_LINT_VERSION := v2.15.0
BENCH ?= .
BENCHTIME ?= 1s
FUZZTIME ?= 20s

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Build everything and serve on 127.0.0.1:8080 with the example plugins, and their payment service on 127.0.0.1:8081
	@$(MAKE) --no-print-directory -j2 build wasm-packages
	@$(MAKE) --no-print-directory -o build plugins
	@$(GO) build -trimpath -o bin/payments ./plugins/orders/payments/cmd/payments
	exec bin/payments 127.0.0.1:8081 $(WFRT) serve --config config.yaml

.PHONY: build
build: ## Build bin/wfrt
	CGO_ENABLED=0 $(GO) build -trimpath -o $(WFRT) ./cmd/wfrt

.PHONY: plugins
plugins: build ## Build the example plugins into plugins/*.wasm
	@printf '%s\n' $(PLUGINS) | xargs -P 2 -I '{}' $(WFRT) build './plugins/{}'

.PHONY: wasm-packages
wasm-packages: # what the plugins are built from, beside the binary: a first build has much to do
	@GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 $(GO) build -trimpath ./sdk encoding/json log/slog net/http

.PHONY: test
test: ## Run every test that needs no outside server
	$(GO) test -timeout 20m ./...

GUESTS := bin/guests
ASSEMBLYSCRIPT := assemblyscript@0.28.20

.PHONY: test-guests
test-guests: ## Test that rewritten guests in C, Rust and AssemblyScript compute the same (Debian's clang-16 and rustc, npm)
	@mkdir -p $(GUESTS)
	clang-16 --target=wasm32-wasi -O2 -mexec-model=reactor -mbulk-memory -msimd128 -o $(GUESTS)/c.wasm \
		host/internal/rewrite/testdata/c/guest.c -lm
	/usr/bin/rustc --target wasm32-wasi -O --crate-type cdylib -C panic=abort -o $(GUESTS)/rust.wasm \
		host/internal/rewrite/testdata/rust/guest.rs
	npm install --silent --no-fund --no-audit --prefix $(GUESTS) $(ASSEMBLYSCRIPT)
	$(GUESTS)/node_modules/.bin/asc host/internal/rewrite/testdata/assemblyscript/guest.ts -O --runtime incremental \
		--use abort= -o $(GUESTS)/assemblyscript.wasm
	WFRT_GUESTS=$(CURDIR)/$(GUESTS) $(GO) test -count=1 -tags guests -run TestGuests -v ./host/internal/rewrite

# Left to `make test`: the scripts of the binary, its tests that build, kill and restart processes again and again, and the one that has the
# rewriter and wazero translate large modules in one goroutine (RATIONALE.md).
.PHONY: race
race: ## Run the tests with the race detector
	$(GO) test -race -short -timeout 20m -skip 'Killed|Dev|FailedDisk|Scripts|RewrittenGoGuest' ./...

# How often the tests of docs/parity.md run: in processes of five passes, as the race detector's own runtime has failed in longer ones.
# On two cores that others used as well, those of runtime took 27 minutes; pebblestore's TestCrash alone takes minutes a pass.
PARITY_COUNT ?= 20

.PHONY: parity
parity: ## Run the tests that docs/parity.md names PARITY_COUNT times with the race detector
	@mkdir -p bin
	@$(GO) test -count=1 -run TestParityNamesTests ./docs -args -parity $(CURDIR)/bin/parity.txt
	@while read -r pkg tests; do \
		for ((done = 0; done < $(PARITY_COUNT); done += 5)); do \
			$(GO) test -race -timeout 60m -count $$((done + 5 > $(PARITY_COUNT) ? $(PARITY_COUNT) - done : 5)) -run "$$tests" $$pkg || exit 1; \
		done; \
	done <bin/parity.txt

# Apache Kafka's jars from Maven Central, and the tests that run it. Tests and brokers find the jars in .kafka/libs, or in KAFKA_LIBS.
KAFKA_LIBS ?= $(CURDIR)/.kafka/libs
export KAFKA_LIBS

.PHONY: kafka-libs
kafka-libs: $(KAFKA_LIBS)/.complete ## Fetch Apache Kafka (Maven, Java 17)

$(KAFKA_LIBS)/.complete: internal/kafkatest/pom.xml
	rm -rf $(KAFKA_LIBS)
	mvn -q -B -f $< dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(KAFKA_LIBS)
	touch $@

.PHONY: kafka-up
kafka-up: kafka-libs ## Start Apache Kafka on 127.0.0.1:19092
	$(GO) run ./internal/kafkatest/run up

.PHONY: kafka-down
kafka-down: ## Stop it; its data stays in .kafka/broker
	$(GO) run ./internal/kafkatest/run down

.PHONY: test-kafka
test-kafka: kafka-libs ## Run the tests against Apache Kafka, which they start, kill and pause themselves
	$(GO) test -tags kafka -p 1 -count 1 -timeout 30m -run 'ApacheKafka|Broker' ./internal/kafkatest ./kafkastreamer ./cmd/wfrt

.PHONY: bench-kafka
bench-kafka: kafka-libs ## Relay to a sink that takes all, and publish to Apache Kafka beside a bare producer of the same records (BENCHTIME=1s)
	$(GO) test -run '^$$' -bench '^BenchmarkRelay$$' -benchtime 1x ./bench
	$(GO) test -tags kafka -run '^$$' -bench ApacheKafka -benchtime '$(BENCHTIME)' ./kafkastreamer

.PHONY: test-browser
test-browser: ## Test the web page in Chromium (Debian's chromium)
	$(GO) test -tags browser -count 1 -timeout 10m -run Browser ./cmd/wfrt

.PHONY: fuzz
fuzz: ## Fuzz each parser of outside bytes for FUZZTIME
	@$(GO) list ./... | while read -r pkg; do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

.PHONY: bench
bench: ## Run the benchmarks and print a table with ratios (BENCH=regexp, BENCHTIME=1s)
	$(GO) run ./bench/cmd/benchtable -bench '$(BENCH)' -benchtime '$(BENCHTIME)'

.PHONY: fmt
fmt: lint-tool ## Format the code
	golangci-lint fmt

.PHONY: lint
lint: lint-tool ## Run the linters
	golangci-lint run ./...

.PHONY: check
check: lint-tool ## Format, vet (natively and for wasip1), lint, and require a clean tree
	golangci-lint fmt --diff
	$(GO) vet ./...
	GOOS=wasip1 GOARCH=wasm $(GO) vet ./sdk ./sdk/abi ./plugins/...
	golangci-lint run ./...
	$(GO) mod tidy -diff
	@test -z "$$(git status --porcelain)" || { git status --short; echo 'error: the tree is not clean'; exit 1; }

.PHONY: lint-tool
lint-tool:
	@command -v golangci-lint >/dev/null && golangci-lint version | grep -qF "$(GOLANGCI_LINT_VERSION:v%=%)" || \
		$(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

.PHONY: openapi
openapi: ## Regenerate docs/openapi.json
	$(GO) test ./internal/httpapi -run OpenAPI -update

.PHONY: clean
clean: ## Remove what was built; the data directory stays
	rm -rf bin plugins/*.wasm
