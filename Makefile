# The short way in. The build itself is in CMakeLists.txt, its variants in CMakePresets.json.
.DEFAULT_GOAL := build
.PHONY: build demo check check-deep docs fuzz format format-check clean help setup

# CMAKE_GENERATOR only matters for a build folder that is new; an old one keeps its generator.
generator = $${CMAKE_GENERATOR:-$$(command -v ninja >/dev/null && echo Ninja || echo Unix Makefiles)}
compile   = CMAKE_GENERATOR="$(generator)" cmake --preset $(1) >/dev/null && \
            cmake --build --preset $(1) --parallel "$$(nproc)"
style     = find bench examples include models src tests -name '*.[ch]' 2>/dev/null | \
            xargs -r clang-format-19 --style=file

setup:
	@scripts/setup

build: setup ## build the release variant in build/ (the default)
	@$(call compile,release)

demo: build ## train the demo and write out/demo/
	build/thalweg demo

check: setup ## what must pass before a commit: format, layers, warnings, tests; under 5 minutes
	@$(style) --dry-run --Werror
	@scripts/check-layers
	@$(call compile,release)
	@ctest --preset release

check-deep: setup ## the long tests, the suite under the sanitizers, and each fuzz target for a minute
	@$(call compile,release)
	@ctest --preset deep
	@$(call compile,sanitize)
	@ctest --preset sanitize
	@$(call compile,tsan)
	@ctest --preset tsan
	@$(call compile,fuzz)
	@scripts/fuzz

fuzz: setup ## feed every reader mutated files, FUZZ_SECONDS (60) each, under the sanitizers
	@$(call compile,fuzz)
	@scripts/fuzz

docs: setup ## make the pages in build/docs/ (HTML); start at index.html
	@scripts/docs

format: setup ## rewrite the sources in the house style
	@$(style) -i

format-check: setup ## say where a source is not in the house style
	@$(style) --dry-run --Werror

clean: ## remove build/ and out/
	rm -rf build out

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

PREFIX ?= /usr/local
.PHONY: install uninstall symbols

install: build ## command, library and headers into PREFIX=/usr/local (DESTDIR is put before it)
	@DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(abspath $(PREFIX))" >/dev/null
	@echo "installed in $(DESTDIR)$(abspath $(PREFIX)); make uninstall PREFIX=$(PREFIX) takes it away"

uninstall: ## remove what install has put into PREFIX
	@scripts/uninstall "$(DESTDIR)$(abspath $(PREFIX))"

symbols: build ## write the lists that the tests of the public interface compare with
	@BUILD="$(CURDIR)/build" tests/api/check_symbols.sh --update
