"""A plot without a plotting library: two lines over the events stored, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 720, 320, 70, 30, 50
_BLUE, _RED = "#1f77b4", "#d62728"


def growth_plot(samples: Sequence[Sequence[float]]) -> str:
    """Return events/s (left axis) and RSS in MB (right axis) over the events stored."""
    most = samples[-1][0]
    rates, sizes = [sample[1] for sample in samples], [sample[3] for sample in samples]
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *_axis(most),
        *_line([sample[0] / most for sample in samples], rates, _BLUE, "events/s", left=True),
        *_line([sample[0] / most for sample in samples], sizes, _RED, "RSS in MB", left=False),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _axis(most: float) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _LEFT
    parts = [f'<path d="M{_LEFT},{_TOP}V{bottom}H{right}V{_TOP}" fill="none" stroke="#888"/>']
    for step in range(6):
        x = _LEFT + (right - _LEFT) * step / 5
        parts.append(f'<text x="{x:.0f}" y="{bottom + 18}" text-anchor="middle">{most * step / 5e6:.2g} M</text>')
    middle = (_LEFT + right) / 2
    return [*parts, f'<text x="{middle:.0f}" y="{_HEIGHT - 12}" text-anchor="middle">events stored</text>']


def _line(places: Sequence[float], values: Sequence[float], colour: str, name: str, *, left: bool) -> list[str]:
    top = 1.15 * max(values)
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _LEFT
    points = " ".join(
        f"{_LEFT + (right - _LEFT) * place:.1f},{bottom - (bottom - _TOP) * value / top:.1f}"
        for place, value in zip(places, values, strict=True)
    )
    parts = [f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>']
    x, anchor = (_LEFT - 6, "end") if left else (right + 6, "start")
    for step in range(5):
        y = bottom - (bottom - _TOP) * step / 4 + 4
        parts.append(f'<text x="{x}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{top * step / 4:,.0f}</text>')
    return [*parts, f'<text x="{x}" y="{_TOP - 12}" text-anchor="middle" fill="{colour}">{name}</text>']
