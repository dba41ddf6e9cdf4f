"""The error of Func 0.30's overlord under its old name, for programs that import it."""  # noqa: N999

from __future__ import annotations

from func.errors import FuncError

Func_Client_Exception = FuncError
