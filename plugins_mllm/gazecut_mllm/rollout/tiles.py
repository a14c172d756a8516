# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""The Triton kernels of `fused`, which says what they do.

Both take: `query` (H, N, d) and `key` (G, N, d) with the strides of heads and tokens and a last axis of stride 1; `tokens` (N,),
`mask` (N, N) and `starts` (N,), where each row's branch starts, or None; `length` N; `trunk` P; `scale` with the factor log2 e;
`repeats` H / G; `width` d. In capitals what is fixed at compile time: `WIDTH`, d or the next power of two; `ROWS` and `KEYS`, a tile.
Logarithms are base 2, infinite for rows that see nothing.
"""

import triton
import triton.language as tl


@triton.jit
def rows_kernel(
    query,
    key,
    tokens,
    mask,
    starts,
    chosen,
    logs,
    peaks,
    length,
    trunk,
    scale,
    query_head,
    query_token,
    key_head,
    key_token,
    repeats,
    width,
    WIDTH: tl.constexpr,
    UPCAST: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Logarithms of softmax denominators (H, N), and peaks (H, N) on the `chosen` columns (N,) where they are not None."""
    block = tl.num_programs(0) - 1 - tl.program_id(0)  # rows that see the most come first, so that none is left for the end
    head = tl.program_id(1).to(tl.int64)
    key += head // repeats * key_head
    row = block * ROWS + tl.arange(0, ROWS)
    queries = _tile(query + head * query_head, row, query_token, length, width, WIDTH, UPCAST)
    top = tl.full([ROWS], -float("inf"), tl.float32)
    peak = tl.full([ROWS], -float("inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)

    stop = tl.minimum((block + 1) * ROWS, length) if mask is None else length
    whole = tl.minimum(block * ROWS, trunk) // KEYS * KEYS if (mask is None and tokens is None) else 0  # keys that all rows see
    for first in range(0, whole, KEYS):
        column = first + tl.arange(0, KEYS)
        keys = _tile(key, column, key_token, length, width, WIDTH, UPCAST)
        scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale
        top, total, peak = _row_step(top, total, peak, scores, chosen, column, length)
    for first in range(whole, stop, KEYS):
        column = first + tl.arange(0, KEYS)
        keys = _tile(key, column, key_token, length, width, WIDTH, UPCAST)
        scores = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scale
        seen = _sees(tokens, mask, starts, row[:, None], column[None, :], length, trunk)
        top, total, peak = _row_step(top, total, peak, tl.where(seen, scores, -float("inf")), chosen, column, length)

    log = tl.where(total > 0, top + tl.log2(tl.where(total > 0, total, 1.0)), float("inf"))
    tl.store(logs + head * length + row, log, mask=row < length)
    if chosen is not None:
        tl.store(peaks + head * length + row, tl.exp2(peak - log), mask=row < length)


@triton.jit
def columns_kernel(
    query,
    key,
    tokens,
    mask,
    starts,
    rows,
    logs,
    products,
    count,
    length,
    trunk,
    scale,
    query_head,
    query_token,
    key_head,
    key_token,
    repeats,
    width,
    WIDTH: tl.constexpr,
    UPCAST: tl.constexpr,
    BATCH: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Products (H, R, N) of `rows` (R, N), `count` of them, with attention; `BATCH` rows in a program, 1 or at least 16."""
    column = tl.program_id(0) * KEYS + tl.arange(0, KEYS)
    head = tl.program_id(1).to(tl.int64)
    query += head * query_head
    logs += head * length
    which = tl.program_id(2) * BATCH + tl.arange(0, BATCH)
    keys = _tile(key + head // repeats * key_head, column, key_token, length, width, WIDTH, UPCAST)
    sums = tl.zeros([KEYS, BATCH], tl.float32)

    end = (tl.program_id(0) + 1) * KEYS  # of this block of keys
    begin = tl.program_id(0) * KEYS // ROWS * ROWS if mask is None else 0
    whole = length  # first of the rows that see the whole block
    if mask is None and tokens is None:
        whole = tl.where(end <= trunk, tl.cdiv(end, ROWS) * ROWS, length)
    for first in range(begin, tl.minimum(whole, length), ROWS):
        row = first + tl.arange(0, ROWS)
        attention = _attention(keys, query, row, query_token, logs, length, width, scale, WIDTH, UPCAST)
        seen = _sees(tokens, mask, starts, row[None, :], column[:, None], length, trunk)
        sums = _column_step(sums, tl.where(seen, attention, 0.0), rows, which, row, count, length)
    for first in range(whole, length, ROWS):
        row = first + tl.arange(0, ROWS)
        attention = _attention(keys, query, row, query_token, logs, length, width, scale, WIDTH, UPCAST)
        sums = _column_step(sums, attention, rows, which, row, count, length)

    to = products + (head * count + which[None, :]) * length + column[:, None]
    tl.store(to, sums, mask=(which[None, :] < count) & (column[:, None] < length))


@triton.jit
def _tile(base, position, stride, length, width, WIDTH: tl.constexpr, UPCAST: tl.constexpr):
    """Vectors (n, WIDTH) at positions (n,), 0 beyond their width and beyond the last token."""
    element = tl.arange(0, WIDTH)
    inside = (position[:, None] < length) & (element[None, :] < width)
    tile = tl.load(base + position[:, None].to(tl.int64) * stride + element[None, :], mask=inside, other=0.0)
    return tile.to(tl.float32) if UPCAST else tile


@triton.jit
def _sees(tokens, mask, starts, row, column, length, trunk):
    """Whether rows see columns, positions that broadcast to a tile."""
    inside = (row < length) & (column < length)
    if mask is not None:
        return inside & (tl.load(mask + row.to(tl.int64) * length + column, mask=inside, other=0) != 0)
    seen = inside & (column <= row)
    if starts is not None:
        seen = seen & ((column < trunk) | (column >= tl.load(starts + row, mask=row < length, other=0)))
    if tokens is not None:
        seen = seen & (tl.load(tokens + column, mask=column < length, other=0) != 0)
    return seen


@triton.jit
def _row_step(top, total, peak, scores, chosen, column, length):
    """Take scores (ROWS, KEYS) into the running maximum, sum and peak of their rows."""
    if chosen is not None:
        counts = tl.load(chosen + column, mask=column < length, other=0) != 0
        peak = tl.maximum(peak, tl.max(tl.where(counts[None, :], scores, -float("inf")), 1))
    higher = tl.maximum(top, tl.max(scores, 1))
    base = tl.where(higher == -float("inf"), 0.0, higher)  # of rows that have seen nothing: -inf - -inf is no number
    total = total * tl.exp2(top - base) + tl.sum(tl.exp2(scores - base[:, None]), 1)
    return higher, total, peak


@triton.jit
def _attention(keys, query, row, query_token, logs, length, width, scale, WIDTH: tl.constexpr, UPCAST: tl.constexpr):
    """Attention (KEYS, ROWS) of rows on a block of keys; 0 for rows beyond the last."""
    queries = _tile(query, row, query_token, length, width, WIDTH, UPCAST)
    scores = tl.dot(keys, tl.trans(queries), input_precision="ieee") * scale
    return tl.exp2(scores - tl.load(logs + row, mask=row < length, other=float("inf"))[None, :])


@triton.jit
def _column_step(sums, attention, rows, which, row, count, length):
    """Add to sums (KEYS, BATCH) the products of attention (KEYS, ROWS) with what the rolled-out rows have there."""
    inside = (row[:, None] < length) & (which[None, :] < count)
    weights = tl.load(rows + which[None, :].to(tl.int64) * length + row[:, None], mask=inside, other=0.0)  # (ROWS, BATCH)
    if weights.shape[1] == 1:
        return sums + tl.sum(attention * tl.trans(weights), 1)[:, None]
    return sums + tl.dot(attention, weights, input_precision="tf32x3")
