# Everything from nothing: needs Python 3.11+ with venv, and make.
# The shell gets paths in quotes and relative, so that a folder with spaces is as good as any.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
RUN := exec $(VENV)/bin/python
LAUNCHER := $(VENV)/bin/python -m cabinet.launcher

comma := ,

export PYTHONUTF8 := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test coverage lint lock bench faults walk browsers format
.NOTPARALLEL:

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1	/'

run: $(VENV)/.stamp ## everything: servers, migrations, demo data, web, workers, sandbox; Ctrl-C stops it
	@# Tied to make: when make is killed, all is stopped as with Ctrl-C.
	@$(RUN) -I -S cabinet/launcher/die_with_parent.py $$PPID 15 - -- $(LAUNCHER) run

test: $(VENV)/.stamp ## the whole suite on two cores; ARGS="…" goes to pytest
	@$(RUN) -m pytest -n 2 --dist loadscope $(ARGS)

coverage: $(VENV)/.stamp ## the suite, then every branch of what decides: fails where one is left out
	@$(VENV)/bin/python -m pytest -n 2 --dist loadscope --cov --cov-branch --cov-report= $(ARGS)
	@$(VENV)/bin/python -m coverage report --fail-under=100 --include='$(DECIDES)'

# What decides about money, cards and people, the way of a command and of an event, and all about operators.
DECIDES := $(subst $() ,$(comma),$(strip \
	cabinet/accounts/* cabinet/inbox/* operators/* \
	subscriptions/periods.py subscriptions/pricing.py subscriptions/rules.py subscriptions/services.py subscriptions/states.py \
	subscriptions/evotor/fold.py subscriptions/evotor/schemas.py subscriptions/evotor/webhooks.py \
	subscriptions/evotor/inbox.py subscriptions/evotor/services.py \
	smartcards/dispatch/* smartcards/reconciliation/* smartcards/safety_brake.py smartcards/commands.py \
	smartcards/replacement.py smartcards/rules.py smartcards/services.py smartcards/states.py \
	smartcards/orders/rules.py smartcards/orders/services.py smartcards/orders/states.py))

lint: $(VENV)/.stamp ## ruff, types, layers, templates, migrations, deploy checks, generated docs
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m cabinet.launcher env -- $(VENV)/bin/python -m mypy .
	$(VENV)/bin/python -c 'import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())'
	$(VENV)/bin/python -m djlint --lint --quiet templates
	$(LAUNCHER) env -- sh -ec '\
		$(VENV)/bin/python manage.py makemigrations --check --dry-run; \
		$(VENV)/bin/python manage.py draw_states --check; \
		$(PRODUCTION) $(VENV)/bin/python manage.py check --deploy --fail-level WARNING --database default'

# What a production start must be given, invented; keys and servers come from the launcher.
# The demo's contracts stand on this machine.
PRODUCTION := OPERATOR_NETWORKS=127.0.0.0/8,::1 SANDBOX=0 DEBUG=0 HTTPS=1 PUBLIC_URL=https://cabinet.example.ru ALLOWED_HOSTS=cabinet.example.ru \
	TRUSTED_PROXIES=127.0.0.1 EVOTOR_APP_TOKEN=lint-only-0123456789-0123456789 \
	EVOTOR_PRODUCT_ID=5f0c2a7e-3d1b-4c8e-9a64-1b7d2f8c9e10 SMS_URL=https://sms.example.ru/

format: $(VENV)/.stamp ## put the code in the project's form
	$(VENV)/bin/python -m ruff check --fix .
	$(VENV)/bin/python -m ruff format .

lock: $(VENV)/.stamp ## newest versions that requirements*.in allow, with hashes; ARGS="--upgrade-package django" raises one
	@$(VENV)/bin/python -m pip install -qq 'uv>=0.9,<1'
	@for name in requirements requirements-dev; do \
		$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
			--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(or $(ARGS),--upgrade) \
			$$name.in --output-file $$name.txt || exit 1; done

bench: $(VENV)/.stamp ## measures of the product; ARGS=de takes two of them
	@$(RUN) -m bench measures $(ARGS)

faults: $(VENV)/.stamp ## random schedules of faults, then named faults; ARGS="--only F7" takes one
	@$(RUN) -m bench faults $(ARGS)

walk: $(VENV)/.stamp ## the way of a click and of a webhook through our functions, traced and counted
	@$(RUN) -m bench walk

browsers: $(VENV)/.stamp ## the main journey in every engine; needs Node, installs what it lacks
	@$(RUN) -m bench browsers

# A copied or moved folder, or a Python that is gone, leaves a broken environment behind: it is made anew.
$(VENV)/.stamp: requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& "$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo 'Python 3.11+ with venv is needed; on Debian: apt-get install python3-venv' >&2; exit 1; }
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV) && "$(PYTHON)" -m venv $(VENV); }
	@echo 'Installing packages (once)…'
	@$(VENV)/bin/python -m pip install -qq --require-hashes -r requirements-dev.txt \
		|| { echo 'The packages could not be installed: see what pip says above.' >&2; exit 1; }
	@touch $(VENV)/.stamp

# A stamp without a living Python behind it counts for nothing.
ifneq ($(wildcard $(VENV)/.stamp),)
ifneq ($(shell $(VENV)/bin/python -c 'print(1)' 2>/dev/null),1)
.PHONY: $(VENV)/.stamp
endif
endif
