# headgate. `make help` lists the targets.

GO            ?= go
GOLANGCI_LINT := v2.15.0
FUZZTIME      ?= 10s

# The npm packages of the example apps and test apps: everything with a lock file.
LOCKS   := $(shell git ls-files '*package-lock.json')
MODULES := $(LOCKS:package-lock.json=node_modules/.package-lock.json)

# The race detector makes SQLite and QuickJS, which are translated C, many times slower: what they bound is left out. The control
# database's tests run on Postgres alone.
RACE_PACKAGES = $(shell $(GO) list ./... ./.ci/readme | grep -v -e /replay -e /probe -e /engine -e /bundle -e /codegen -e /migrations -e /jobs -e 'cmd/headgate$$')

.PHONY: help build deps test race lint generate fmt fuzz demo rollback-demo rollout-demo bench soak chaos

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F '\t' '{printf "  make %-13s %s\n", $$1, $$2}'

build: ## build bin/headgate
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -o bin/headgate ./cmd/headgate

deps: $(MODULES) ## install the npm packages that the examples and tests need

%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

test: deps ## run the tests
	$(GO) test -timeout 25m -parallel 4 ./... ./.ci/readme

race: deps ## run the tests under the race detector, without those that SQLite and QuickJS bound
	$(GO) test -race -skip '^TestSQLite$$' -timeout 10m -parallel 4 $(RACE_PACKAGES)

lint: bin/golangci-lint-$(GOLANGCI_LINT) ## run the linters and look for unformatted files
	$< run ./... ./.ci/readme
	$< fmt --diff ./...

bin/golangci-lint-$(GOLANGCI_LINT):
	@mkdir -p bin
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	mv bin/golangci-lint $@

generate: deps ## make generated files again
	$(GO) generate ./...

fmt: bin/golangci-lint-$(GOLANGCI_LINT) ## format the Go files
	$< fmt ./...

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; \
		done; \
	done

demo: build deps ## take the example app through its releases and plan an upgrade
	.ci/demo

rollback-demo: build deps ## let a bad release do its harm to real clients, and repair it
	.ci/rollback-demo

rollout-demo: build deps ## open a new event version to real clients, when they can read it
	.ci/rollout-demo

bench: deps ## measure
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./...

chaos: deps ## kill migrations 200 times over 20 stores, a worker of a fleet of 200, Postgres 30 times, and the server that leads 20 times
	@HEADGATE_SOAK=1 $(GO) test -timeout 2h -count=1 -v -run 'TestChaos|TestFleet|TestPauseAndResume|TestPairThroughBackfill|TestPostgresKilled|TestControlDeleted|TestLeaderKilled' ./cmd/headgate >chaos.out 2>&1; status=$$?; \
	grep -aE '^ +(fleet|pair|control_killed|leader)_test|^(---|ok|FAIL)' chaos.out; grep -aE '^ +chaos_test' chaos.out; exit $$status

soak: deps ## run the long forms of the tests: many kills, a million events
	HEADGATE_SOAK=1 HEADGATE_WEB=1 $(GO) test -timeout 4h ./...
