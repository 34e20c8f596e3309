"""
The table: stock and evergreen, side by side.
"""

from __future__ import annotations

from rich.table import Table

from demo_tools.figures import Figures

# Name, attribute, how to print it.
ROWS = [
    ("requests per second", "requests_per_second", "{:,.0f}"),
    ("median latency, ms", "p50_ms", "{:,.1f}"),
    ("99th percentile, ms", "p99_ms", "{:,.1f}"),
    ("server CPU per request, ms", "cpu_ms_per_request", "{:,.2f}"),
    ("peak threads of the server", "peak_threads", "{}"),
    ("errors", "errors", "{}"),
]


def comparison(title: str, stock: Figures, evergreen: Figures) -> Table:
    """
    Return the table of one database.
    """
    table = Table(title=title, caption=_caption(stock, evergreen))
    table.add_column()
    for name in ["stock", "evergreen", "evergreen / stock"]:
        table.add_column(name, justify="right")
    for name, attribute, form in ROWS:
        old, new = getattr(stock, attribute), getattr(evergreen, attribute)
        table.add_row(name, form.format(old), form.format(new), _ratio(old, new))
    return table


def _ratio(old: float, new: float) -> str:
    if old == new:
        return "equal"
    # Of errors there may be none on stock.
    return f"{new / old:.2f} x" if old else f"{new:+g}"


def _caption(stock: Figures, evergreen: Figures) -> str:
    busiest = max(stock.generator_load, evergreen.generator_load)
    text = f"The load generator, a process of its own, used {busiest:.0%} of one core"
    return f"{text}: it is the limit here!" if busiest > 0.9 else f"{text}."
