"""Generated wrong answers: a solution with one thing changed, as a slip of the hand changes it.

An operator, a comparison, a constant, an axis, a flag, a reduction; a step of a chain of calls, an
item of a sum or a statement that is left out.
"""

import ast
import copy

BINARY = {ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add),
          ast.Div: (ast.Mult,), ast.Pow: (ast.Mult,), ast.BitAnd: (ast.BitOr,),
          ast.FloorDiv: (ast.Mod,)}  # fmt: skip
COMPARED = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt,
            ast.Gt: ast.GtE, ast.GtE: ast.Gt}  # fmt: skip
NAMES = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "argmin": "argmax",
         "argmax": "argmin", "std": "var", "zeros": "ones", "ones": "zeros", "exp": "sqrt",
         "log": "sqrt", "sqrt": "abs", "maximum": "minimum", "minimum": "maximum", "any": "all",
         "tri": "ones", "reversed": "list", "stack": "hstack"}  # fmt: skip


def replacements(node):
    """Nodes that may stand where `node` stands."""
    if isinstance(node, ast.BinOp):
        for kind in BINARY.get(type(node.op), ()):
            yield ast.BinOp(node.left, kind(), node.right)
        yield node.left
        yield node.right
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        yield node.operand
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        yield ast.Compare(node.left, [COMPARED[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
        if node.value:
            yield ast.Constant(node.value - 1)
            yield ast.Constant(-node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield ast.Attribute(node.value, NAMES[node.attr], node.ctx)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield ast.Name(NAMES[node.id], node.ctx)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        library = isinstance(node.func.value, ast.Name) and node.func.value.id in ("np", "math")
        if not library:
            yield node.func.value  # x.sum(axis=1) -> x
        elif node.args:
            yield node.args[0]  # np.exp(x) -> x
        for i in range(len(node.keywords)):
            yield ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load):
        yield ast.Tuple(node.elts[::-1], node.ctx)


def mutants(text, function):
    """[(name, text)] of every mutant of the definition of `function`; names say what changed."""
    tree = ast.parse(text)
    place = next(i for i, n in enumerate(tree.body) if getattr(n, "name", "") == function)
    found, seen = [], {ast.unparse(tree)}

    def add(name, changed):
        ast.fix_missing_locations(changed)
        mutant = ast.unparse(changed)
        if mutant not in seen:
            seen.add(mutant)
            same_name = sum(n == name or n.startswith(f"{name} (") for n, _ in found)
            found.append((f"{name} ({same_name + 1})" if same_name else name, mutant))

    nodes = list(ast.walk(tree.body[place]))
    signature = set(ast.walk(tree.body[place].args))
    lines = text.split("\n")

    def line_of(node):
        return lines[node.lineno - 1].strip()[:60]

    for number, node in enumerate(nodes):
        if node in signature:
            continue
        for k, new in enumerate(replacements(node)):
            changed = copy.deepcopy(tree)
            there = list(ast.walk(changed.body[place]))[number]
            new = list(replacements(there))[k]
            _put(changed, there, new)
            add(f"{ast.unparse(node)} -> {ast.unparse(new)} in {line_of(node)}", changed)
        body = getattr(node, "body", None)
        for i, statement in enumerate(body if isinstance(body, list) else []):
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if is_text or isinstance(statement, ast.FunctionDef):
                continue
            changed = copy.deepcopy(tree)
            there = list(ast.walk(changed.body[place]))[number]
            there.body[i] = ast.Pass()
            add(f"without: {ast.unparse(statement).splitlines()[0]}", changed)
    return found


def _put(tree, old, new):
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
            elif isinstance(value, list) and any(v is old for v in value):
                value[[v is old for v in value].index(True)] = new
