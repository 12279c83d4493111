"""Tests of the operators; assertions of the shared modules are explained as elsewhere."""

import pytest

pytest.register_assert_rewrite("operators.tests.contract", "operators.tests.sandbox_operator")
