# The long jobs of .ci/run as one queue, of which `make -j2` keeps two cores busy to
# the end. To be run in the root of the checkout.

# Those besides the python3 of the PATH, and the one that runs Django's own suite.
OTHERS ?=
NEWEST ?= python3

jobs: everything $(OTHERS:%=fast-%) conformance
.PHONY: jobs everything conformance

everything:
	$(MAKE) test

# On asyncio only, as uvloop has them above.
fast-%:
	@echo "== the fast tests on Python $*"
	$(MAKE) test PYTHON=python$* VENV=.venv-$* ARGS='-m "not slow" -k "not uvloop"'

conformance:
	$(MAKE) conformance PYTHON=$(NEWEST) VENV=.venv-conformance \
		ARGS="--database postgresql --mode bridge --share 24"
