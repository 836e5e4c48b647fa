# starttls: what one types while working on it. `make` alone lists the targets.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME   ?= 2s

.DEFAULT_GOAL = help
.PHONY: help test quick peers lint fuzz bench docs man deb clients compare install

help: ## list these targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

test: peers lint ## everything CI runs: real peers, lint, tests with the race detector, a short fuzz
	STARTTLS_PEERS=required go test -race -timeout 15m ./...
	packaging/test.sh
	scripts/fuzz.sh $(FUZZTIME)

quick: ## the tests without real peers, as often as you like
	go test ./...

peers: ## install the real servers and clients that the tests meet (Debian packages, as root)
	scripts/peers.sh

lint: ## gofmt, vet, staticcheck, and a tidy go.mod
	@test -z "$$(gofmt -l .)" || { echo "gofmt these:"; gofmt -l .; exit 1; }
	go vet ./...
	go vet -tags zlint ./cmd/starttls
	go mod tidy -diff
	go run $(STATICCHECK) ./...

fuzz: ## every fuzz target for FUZZTIME each (default 2s)
	scripts/fuzz.sh $(FUZZTIME)

bench: ## the measurements of docs/performance.md
	scripts/bench.sh

docs: ## print again what is generated: findings, the table of protocols (what was met: go test ./internal/interop -update)
	go test ./check ./docs -update

clients: ## measure real clients in every case of the lab, for docs/clients.md
	scripts/clients.sh

compare: ## measure what other tools say to the demo's hostile servers, for docs/comparison.md
	scripts/compare.sh

man: ## write the man pages into bin/man
	mkdir -p bin/man
	go test ./cmd/starttls -run TestManPages -count=1 -man "$(CURDIR)/bin/man"

deb: ## build the Debian package of the command and the gateway's unit, into bin/
	packaging/build.sh

# Without cgo it is one static file, which starts sooner.
install: ## build and install the starttls command
	CGO_ENABLED=0 go install ./cmd/starttls
