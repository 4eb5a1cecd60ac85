"""CUDA C++ from the scalar Python functions that Numba compiles for the CPU: one source for both.

``translate(roots)`` gives C++17 source of the functions and of all that they call, callees first, on top of ``cuda.h``.
``f(real, a, b)`` becomes ``template <class real, ...> auto f(a, b)``, called ``f<real>(a, b)``; in a function without
that parameter ``real`` is deduced from what is annotated ``Real``. What is not known is refused, with file and line.

The subset: assignments and unpacking; arithmetic, comparisons, ``and or not``, ``& | ^ << >>``; ternaries; ``if``,
``for _ in range(n)``, ``while``, ``break``, ``continue``, ``return``; subscripts, slices, ``.size``; casts, ``.view``;
``min max abs``, ``math``; other such functions; global integers. Numba widens integers to 64 bits, C++ does not: what
may overflow 32 bits needs a cast in Python.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

TYPES = ("float32", "float64", "int32", "int64", "uint32", "uint64", "intp", "uintp")  # NumPy's, as in cuda.h
CALLS = {"abs": "fabs", "min": "min", "max": "max", "int": "int64"}
MATH = ("sqrt", "floor", "exp", "log", "lgamma")
ANNOTATIONS = {"Real": "real", "Word": "uint32"}  # that name a type; the types of other parameters are deduced
OPERATORS: dict[type, tuple[str, int, int]] = {  # in C++: sign, how tight it binds, how tight operands must bind
    ast.Mult: ("*", 3, 3),
    ast.Div: ("/", 3, 3),
    ast.Add: ("+", 2, 2),
    ast.Sub: ("-", 2, 2),
    ast.LShift: ("<<", 1, 3),
    ast.RShift: (">>", 1, 3),
    ast.BitAnd: ("&", 0, 1),
    ast.BitOr: ("|", 0, 1),
    ast.BitXor: ("^", 0, 1),
    ast.Lt: ("<", 0, 1),
    ast.LtE: ("<=", 0, 1),
    ast.Gt: (">", 0, 1),
    ast.GtE: (">=", 0, 1),
    ast.Eq: ("==", 0, 1),
    ast.NotEq: ("!=", 0, 1),
    ast.And: ("&&", 0, 1),
    ast.Or: ("||", 0, 1),
    ast.USub: ("-", 4, 5),
    ast.Not: ("!", 4, 5),
}
Block = Sequence[ast.stmt]
LEAVES = (ast.Return, ast.Break, ast.Continue)


class Untranslatable(Exception):
    """Something outside the subset."""


def translate(roots: Iterable[Any]) -> str:
    """C++ source of functions (Numba's dispatchers, or plain ones) and of all they call.

    Raises:
        Untranslatable: something outside the subset; says where.

    >>> from darkpenguin.kinematics.trig import double_precision
    >>> print(translate([double_precision]).partition("\\n")[2])
    template <class real>
    __device__ constexpr auto double_precision()
    {
        return real(1) + real(9.313225746154785e-10) != real(1);
    }
    <BLANKLINE>
    """
    done: dict[str, tuple[Any, str]] = {}

    def add(function: Any) -> None:
        name = function.__name__  # also C++'s, so one name is one function
        if name not in done:
            translated = _Function(function)
            text = translated.text()
            for callee in translated.callees:
                add(callee)
            done[name] = function, text
        elif done[name][0] is not function:
            raise Untranslatable(f"two functions are called {name}")

    for root in roots:
        add(_python(root))
    return "\n".join(text for _, text in done.values())


def _python(function: Any) -> Any:
    return getattr(function, "py_func", function)


class _Function:
    """One function: ``text()`` translates it; ``callees`` are then the functions that it calls."""

    def __init__(self, function: Any) -> None:
        self.function, self.globals = function, function.__globals__
        (self.tree,) = (n for n in ast.parse(inspect.getsource(function)).body if isinstance(n, ast.FunctionDef))
        annotated = {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in self.tree.args.args}
        self.types = {name: ANNOTATIONS.get(kind, f"{name}_type") for name, kind in annotated.items()}
        self.generic = "real" in self.types or "real" in self.types.values()
        self.scopes = [set(self.types)]  # names that are declared, by block
        self.callees: list[Any] = []
        self.temporaries = 0

    def fail(self, node: Any, why: str) -> Untranslatable:
        code = self.function.__code__
        return Untranslatable(f"{code.co_filename}:{code.co_firstlineno + node.lineno - 1}: {why}: {ast.unparse(node)}")

    def text(self) -> str:
        """The whole function; a function of types alone is a constant to the compiler."""
        values = {name: kind for name, kind in self.types.items() if name != "real"}
        deduced = [f"class {kind}" for kind in values.values() if kind.endswith("_type")]
        templates = ", ".join(["class real"] * self.generic + deduced)
        arguments = ", ".join(f"{kind} {name}" for name, kind in values.items())
        kind, docstring = "__forceinline__" if values else "constexpr", ast.get_docstring(self.tree)
        lines = [f"// {docstring.splitlines()[0]}"] if docstring else []
        lines += [f"template <{templates}>"] if templates else []
        lines += [f"__device__ {kind} auto {self.tree.name}({arguments})", "{"]
        return "\n".join([*lines, *self.block(self.tree.body[1 if docstring else 0 :], ()), "}\n"])

    def block(self, body: Block, after: Block) -> list[str]:
        """Lines of a block; ``after`` is what may run when it has ended."""
        return ["    " + line for i, node in enumerate(body) for line in self.statement(node, [*body[i + 1 :], *after])]

    def inner(self, head: str, body: Block, after: Block, *names: str) -> list[str]:
        self.scopes.append(set(names))
        lines = [head + " {", *self.block(body, after), "}"]
        self.scopes.pop()
        return lines

    def statement(self, node: ast.stmt, after: Block) -> list[str]:
        match node:
            case ast.Return(value=ast.expr() as value):
                return [f"return {self.expression(value)};"]
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return [self.set(name, self.expression(value), value)]
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=value) if all(type(n) is ast.Name for n in names):
                return self.unpack([ast.unparse(name) for name in names], value)
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                return [f"{name} {OPERATORS[type(op)][0]}= {self.expression(value)};"]
            case ast.If(test=test, body=body, orelse=orelse):
                known = isinstance(test, ast.Call) and all(self.type_name(a) for a in test.args)
                head = f"if {'constexpr ' * known}({self.expression(test)})"
                lines = self.ahead([b for b in (body, orelse) if b and not isinstance(b[-1], LEAVES)], after)
                lines += self.inner(head, body, after)
                return lines + (self.inner("else", orelse, after) if orelse else [])
            case ast.For(target=ast.Name(id=i), iter=ast.Call(func=ast.Name(id="range"), args=[n]), body=body):
                head = f"for (int64 {i} = 0; {i} < {self.expression(n)}; ++{i})"
                return self.ahead([body], after) + self.inner(head, body, [node, *after], i)
            case ast.While(test=test, body=body):
                return self.ahead([body], after) + self.inner(f"while ({self.expression(test)})", body, [node, *after])
            case ast.Break() | ast.Continue():
                return [ast.unparse(node) + ";"]
        raise self.fail(node, "no such statement")

    def unpack(self, names: list[str], value: ast.expr) -> list[str]:
        """One after the other, from a tuple that is held if it is made here or a name is read after it was set."""
        if (
            isinstance(value, ast.Tuple)
            and len(value.elts) == len(names)
            and not any(name in _read(later) for i, name in enumerate(names) for later in value.elts[i + 1 :])
        ):
            return [self.set(n, self.expression(v), v) for n, v in zip(names, value.elts, strict=True)]
        source, lines = self.expression(value), []
        if not isinstance(value, ast.Name):
            self.temporaries += 1
            source, lines = f"several{self.temporaries}", [f"auto several{self.temporaries} = {source};"]
        return lines + [self.set(name, f"at<{i}>({source})") for i, name in enumerate(names) if name != "_"]

    def declared(self, name: str) -> bool:
        return any(name in scope for scope in self.scopes)

    def set(self, name: str, text: str, value: ast.expr | None = None) -> str:
        """Declare at the first assignment, assign afterwards. A bare integer has 64 bits, as in Numba."""
        if self.declared(name):
            return f"{name} = {text};"
        self.scopes[-1].add(name)
        self.types[name] = self.type_of(value) if value else ""
        return f"auto {name} = {f'int64({text})' if value and type(_value(value)) is int else text};"

    def ahead(self, bodies: Sequence[Block], after: Block) -> list[str]:
        """Declare what is first set inside blocks and read behind them: its type must be plain to see."""
        lines, read = [], {name for node in after for name in _read(node)}
        for node in (n for body in bodies for statement in body for n in ast.walk(statement)):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in read and not self.declared(name):
                    kind = self.type_of(value)
                    if not kind:
                        raise self.fail(node, "set in a block and read behind it: needs a cast, to show its type")
                    self.scopes[-1].add(name)
                    self.types[name] = kind
                    lines.append(f"{kind} {name};")
        return lines

    def type_name(self, node: ast.expr) -> str:
        """``real`` or one of NumPy's types where an expression is such a name, else nothing."""
        match node:
            case ast.Name(id="real"):
                return "real"
            case ast.Attribute(value=ast.Name(id="np"), attr=name) if name in TYPES:
                return name
        return ""

    def type_of(self, node: ast.expr) -> str:
        """Type of an expression where a cast or a variable of known type in it tells, else nothing."""
        match node:
            case ast.Call(func=func):
                return self.type_name(func)
            case ast.Name(id=name):
                return self.types.get(name, "")
            case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
                return self.type_of(left) or self.type_of(right)
        return ""

    def operand(self, node: ast.expr, least: int) -> str:
        """In parentheses unless it binds at least so tightly."""
        op = getattr(node, "op", None)
        loose = isinstance(node, (ast.IfExp, ast.Compare)) or (op and OPERATORS[type(op)][1] < least)
        return f"({self.expression(node)})" if loose and _value(node) is None else self.expression(node)

    def list(self, nodes: Sequence[ast.expr]) -> str:
        return ", ".join(self.expression(node) for node in nodes)

    def expression(self, node: ast.expr) -> str:
        value = _value(node)
        if isinstance(value, float) and self.generic:
            raise self.fail(node, "a number in double precision: cast it with real()")
        if value is not None:
            return _literal(value)
        match node:
            case ast.Name(id=name) if self.declared(name) or type(self.globals.get(name)) is int:
                return name if self.declared(name) else _literal(self.globals[name])
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                sign, tight, least = OPERATORS[type(op)]
                return f"{self.operand(left, least)} {sign} {self.operand(right, max(tight + 1, least))}"
            case ast.BoolOp(op=op, values=parts):
                return f" {OPERATORS[type(op)][0]} ".join(self.operand(part, 1) for part in parts)
            case ast.UnaryOp(op=op, operand=operand):
                return OPERATORS[type(op)][0] + self.operand(operand, 5)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return f"{self.operand(test, 1)} ? {self.operand(body, 1)} : {self.operand(orelse, 1)}"
            case ast.Tuple(elts=elements):
                return f"tuple_of({self.list(elements)})"
            case ast.Subscript(value=row, slice=ast.Slice(lower=low, upper=high)) if _known(low) and _known(high):
                bounds = (0 if low is None else _value(low), *(() if high is None else (_value(high),)))
                return f"part<{', '.join(map(str, bounds))}>({self.expression(row)})"
            case ast.Subscript(value=array, slice=ast.Slice(lower=ast.expr() as low, upper=ast.expr() as high)):
                return f"slice({self.list([array, low, high])})"
            case ast.Subscript(value=array, slice=ast.Constant(value=int(i))):
                return f"at<{i}>({self.expression(array)})"
            case ast.Subscript(value=ast.Name(id=array), slice=index):
                return f"{array}[{self.expression(index)}]"
            case ast.Attribute(value=ast.Name(id=array), attr="size"):
                return f"{array}.size"
            case ast.Call(func=func, args=[argument]) if kind := self.type_name(func):
                number = _value(argument)  # in double precision in Python too, and rounded once
                return f"{kind}({self.expression(argument) if number is None else _literal(number)})"
            case ast.Call(func=ast.Attribute(value=number, attr="view"), args=[kind]):
                return f"view<{self.type_name(kind)}>({self.expression(number)})"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="math"), attr=name), args=args) if name in MATH:
                return f"{name}({self.list(args)})"
            case ast.Call(func=ast.Name(id=name), args=args) if name in CALLS:
                return f"{CALLS[name]}({self.list(args)})"
            case ast.Call(func=ast.Name(id=name), args=[first, *rest], keywords=[]):
                self.callees.append(_python(self.globals.get(name)))
                if inspect.isfunction(self.callees[-1]):
                    kind = self.type_name(first)
                    return f"{name}<{kind}>({self.list(rest)})" if kind else f"{name}({self.list([first, *rest])})"
        raise self.fail(node, "no such expression")


def _value(node: ast.expr) -> Any:
    """Value of an expression of numbers alone, which Python computes; else None."""
    parts = (ast.Constant, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
    if all(isinstance(n, parts) and type(getattr(n, "value", 0)) in (int, float) for n in ast.walk(node)):
        return eval(compile(ast.Expression(node), "number", "eval"))
    return None


def _known(bound: ast.expr | None) -> bool:
    """Whether a bound of a slice is a number, or left out."""
    return bound is None or _value(bound) is not None


def _literal(value: float) -> str:
    return repr(value) + ("" if isinstance(value, float) or abs(value) < 2**31 else "ll" if value < 2**63 else "ull")


def _read(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
