"""The part of a script that is the same in all: running the plans, comparing, saying what came out."""

from __future__ import annotations

HOST_MEMORY = '''
def host_memory(nbytes, offset=0, allocate=None):
    """Bytes that start `offset` past a multiple of 64, with other bytes (0xc5) around them."""
    block = np.empty(nbytes + 256, np.uint8) if allocate is None else allocate(nbytes + 256)
    block.fill(0xC5)
    start = -block.ctypes.data % 64 + 64 + offset
    return block[start : start + nbytes]
'''
ACROSS_PAGES = '''
def across_pages(nbytes, item, allocate=None):
    """Bytes, half of whose elements of `item` bytes end one page of memory, and the rest begin the next."""
    before = item * max(nbytes // item // 2, 1)
    size = nbytes + before + 4224
    block = np.empty(size, np.uint8) if allocate is None else allocate(size)
    block.fill(0xC5)
    start = -(block.ctypes.data + 64 + before) % 4096 + 64
    return block[start : start + nbytes]
'''
SAME = '''
def allowed(got, lo):
    """Per element whether it has the bits that it must have."""
    size = got.dtype.itemsize
    return got.view(f"u{size}") == lo.view(f"u{size}")
'''
LAWFUL = '''
def order(x):
    """Integers in the order of the elements of x, with -0.0 just below 0.0."""
    if x.dtype.kind in "biu":
        return x
    bits = x.view(f"i{x.dtype.itemsize}")
    return bits ^ ((bits >> (8 * x.dtype.itemsize - 1)) & np.iinfo(bits.dtype).max)


def allowed(got, lo, hi=None, lo2=None, hi2=None, nan=False, ninf=False, pinf=False):
    """Per element whether it is one of those that it may be."""
    key = order(got)
    ok = (key >= order(lo)) & (key <= order(lo if hi is None else hi))
    if lo2 is not None:
        ok |= (key >= order(lo2)) & (key <= order(hi2))
    if got.dtype.kind in "biu":
        return ok
    return ok | (nan & np.isnan(got)) | (ninf & (got == -np.inf)) | (pinf & (got == np.inf))
'''
_JUDGE = '''
def shown(x):
    """An element with its bits."""
    size = x.dtype.itemsize
    return f"{x} (0x{int(x.reshape(1).view(f'u{size}')[0]):0{2 * size}x})"


def wish(i, lo, hi=None, lo2=None, hi2=None, nan=None, ninf=None, pinf=None):
    """What element i may be, in words."""
    found = []
    for low, high in ((lo, lo if hi is None else hi), (lo2, hi2)):
        if low is not None and low[i].tobytes() == high[i].tobytes():
            found.append(shown(low[i]))
        elif low is not None and low[i] <= high[i]:
            found.append(f"{shown(low[i])} to {shown(high[i])}")
    flags = (("NaN", nan), ("-inf", ninf), ("inf", pinf))
    return " or ".join(found + [name for name, flag in flags if flag is not None and flag[i]])


def real(x):
    """A complex array as its real and imaginary parts, any other as it is."""
    x = np.ascontiguousarray(x).reshape(x.shape)
    return x.view(x.real.dtype).reshape(*x.shape, 2) if x.dtype.kind == "c" else x


def complaints(results):
    """What is wrong with the outputs of one run, in words."""
    found = []
    for got, (name, dtype, shape, may_be) in zip(results, expected()):
        if not isinstance(got, np.ndarray) or (got.dtype.name, got.shape) != (dtype, shape):
            what = f"{got.dtype}{list(got.shape)}" if isinstance(got, np.ndarray) else type(got).__name__
            found.append(f"{name} is {what} but should be {dtype}{list(shape)}")
        elif may_be is not None:
            got = real(got)
            bad = np.argwhere(~np.asarray(allowed(got, **may_be)))
            for i in map(tuple, bad[:4].tolist()):
                where = f"[{', '.join(map(str, i))}]" if i else ""
                found.append(f"{name}{where}\\n    expected  {wish(i, **may_be)}\\n    got       {shown(got[i])}")
            if len(bad):
                found.append(f"{len(bad)} of {got.size} elements of {name} are wrong")
    return found


def run(plan, times):
    """The results of a plan's last run, and what is wrong with any: complaints, and what was raised."""
    results, found = None, []
    for _ in range(times):
        given = inputs()
        try:
            results = plan(*given)
        except Exception as error:  # whatever a device raises is a result
            return None, found, f"{type(error).__name__}: {error}".split("\\n")[0]
        found += complaints(results)
        changed = [k for k, (x, y) in enumerate(zip(given, inputs())) if x.tobytes() != y.tobytes()]
        found += [f"input v{k} was written, which nothing may do" for k in changed]
    return results, found, ""
'''
_DISAGREE = '''

def differences(results, others):
    """Where the failing plan and its control give other bits."""
    pairs = zip(results or [], others or [], expected())
    other = [name for a, b, (name, *_) in pairs if a.tobytes() != b.tobytes()]
    return [f"{name} has other bits than under the control plan" for name in other]
'''
_MAIN = '''

def main():
    """Run every plan, say what comes out, and give the exit code."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    code = 0
    {before}for words, plan, times in PLANS:
        results, found, raised = run(plan, times)
        {compare}print(words)
        for text in found:
            print(f"  {{text}}")
        if raised:
            print(f"  raised {{raised}}")
        if not found and not raised:
            print("  as expected")
        if plan is failing_plan:
            code = 1 if found{or_raised} else 3 if raised else 0
    print({{0: "not reproduced", 1: "reproduced", 3: "cannot be told: something else was raised"}}[code])
    return 125 if code == 3 and "--bisect" in sys.argv else code

'''
_IN_THIS_PROCESS = """
if __name__ == "__main__":
    sys.exit(main())
"""
_IN_ANOTHER = """
if __name__ == "__main__":
    if "--here" in sys.argv:
        sys.exit(main())
    try:  # in a process of its own, as it may die or hang
        status = subprocess.run([sys.executable, __file__, "--here", *sys.argv[1:]], timeout=120).returncode
    except subprocess.TimeoutExpired:
        status = -1
    if status not in (0, 3, 4, 125):
        print("reproduced" if status == 1 else f"reproduced: the process ended with {status}, or hung")
    sys.exit(status if status in (0, 3, 4, 125) else 1)
"""


def text(raised: bool, disagree: bool, dies: bool) -> str:
    """The rest of a script. raised: an exception is the failure; disagree: another answer than the control's is one;

    dies: it may end or hang its process.
    """
    main = _MAIN.format(
        before="control, *_ = run(control_plan, 1)\n    " if disagree else "",
        compare="found += differences(results, control) if plan is failing_plan else []\n        " if disagree else "",
        or_raised=" or raised" if raised else "",
    )
    return _JUDGE + (_DISAGREE if disagree else "") + main + (_IN_ANOTHER if dies else _IN_THIS_PROCESS)
