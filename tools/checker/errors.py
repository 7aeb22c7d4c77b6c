# SPDX-License-Identifier: BSD-3-Clause
"""What ends a check without a verdict."""


class CannotCheck(Exception):
    """Nothing was found out: exit code 2."""


class Moved(CannotCheck):
    """The log or a view went on while it was read."""
