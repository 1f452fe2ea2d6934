# Needs Python 3.11 or later, git and make. uv comes into a local environment when it is not on the PATH.
UV := $(or $(shell uv --version >/dev/null 2>&1 && command -v uv),$(CURDIR)/.venv-tools/bin/uv)

# uv shall use a Python that is there, and never fetch one.
export UV_PYTHON_DOWNLOADS := never

# Counting makes the wrapper's tests a third slower, so it is part of the full run.
COVERAGE := $(if $(PILOT_TEST_FULL),--cov=pilot --cov-branch --cov-fail-under=90 --cov-report=term:skip-covered)
# The tests of a file share what they set up, so they stay in one process. Files with few tests take longest: in the order
# of their names they are spread, and do not end up as the last.
PARALLEL := --no-loadscope-reorder --dist loadfile --numprocesses

.PHONY: demo docs test test-wrapper test-template test-full lint

# Renders a pilot with the default answers into ./demo, installs it, trains its model and takes it through a round trip.
demo: $(UV)
	@rm -rf demo
	@start=$$(date +%s) \
	&& echo "Rendering a pilot with the default answers into ./demo" \
	&& "$(UV)" tool run --quiet --from 'copier>=9.19,<10' copier copy --quiet --defaults --vcs-ref HEAD "$(CURDIR)" demo \
	&& cd demo \
	&& echo "Installing it" && "$(UV)" sync --quiet \
	&& "$(UV)" run pilot model train \
	&& "$(UV)" run pilot demo \
	&& echo "make demo took $$(($$(date +%s) - start)) s. The pilot is in ./demo; its README.md has the next steps."

# Writes the reference from the code and builds the site into ./site; a broken link fails it.
docs: $(UV)
	"$(UV)" sync --quiet
	"$(UV)" run --no-sync python docs/reference.py
	"$(UV)" run --no-sync zensical build --strict --clean

# The wrapper's tests in place, then the template's. What the wrapper's tests run in a process of its own is not counted, so
# more is covered than the floor sees.
test: test-wrapper test-template

test-wrapper: $(UV)
	"$(UV)" sync --quiet
	cd template/pilot && "$(UV)" run --project "$(CURDIR)" --no-sync pytest $(PARALLEL) auto $(COVERAGE)

# These wait for services half of the time, so there are more of them than cores.
test-template: $(UV)
	"$(UV)" sync --quiet
	"$(UV)" run --no-sync pytest $(PARALLEL) $$(( $$(nproc) + $$(nproc) / 2 ))

# Updates from every release, each drill, each fault on both databases, more kills of the server, and the floor under the
# coverage: nightly, and before a release.
test-full:
	PILOT_TEST_FULL=1 $(MAKE) test

lint: $(UV)
	"$(UV)" sync --quiet
	"$(UV)" run --no-sync ruff check
	"$(UV)" run --no-sync ruff format --check
	"$(UV)" run --no-sync mypy
	cd template/pilot && "$(UV)" run --project "$(CURDIR)" --no-sync mypy

$(CURDIR)/.venv-tools/bin/uv:
	python3 -m venv .venv-tools
	.venv-tools/bin/pip install --quiet 'uv>=0.9'
