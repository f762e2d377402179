"""The executive report as a PDF with plots, A4. Names out of logs are escaped: to ReportLab a paragraph is markup."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any

from reportlab.graphics.charts.barcharts import HorizontalBarChart
from reportlab.graphics.charts.lineplots import LinePlot
from reportlab.graphics.charts.piecharts import Pie
from reportlab.graphics.shapes import Drawing, String
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import (
    BaseDocTemplate,
    Frame,
    KeepTogether,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from casb.catalog.factors import CATEGORIES
from casb.discovery.executive import Executive
from casb.discovery.query import AppUsage
from casb.sidecar.pages import short, size

INK, SOFT, LINE, ACCENT = (colors.HexColor(each) for each in ("#1b2230", "#5c6678", "#e2e6ee", "#3557d6"))
RISKS = {"high": "#cf3f4f", "medium": "#d59a1f", "low": "#1f9d78", "unscored": "#9aa7bd"}
STANDINGS = {"sanctioned": "#1f9d78", "unsanctioned": "#cf3f4f", "other": "#4c8fd9"}
WIDTH = A4[0] - 40 * mm
_BASE = ParagraphStyle("base", fontName="Helvetica", fontSize=9.5, leading=13.5, textColor=INK)
_SOFT = ParagraphStyle("soft", parent=_BASE, textColor=SOFT, fontSize=8.5, leading=12)
_HEAD = ParagraphStyle("head", parent=_BASE, fontName="Helvetica-Bold", fontSize=15, leading=20, spaceAfter=6)
_SUB = ParagraphStyle("sub", parent=_BASE, fontName="Helvetica-Bold", fontSize=10.5, leading=15, spaceBefore=8)
_TITLE = ParagraphStyle("title", parent=_HEAD, fontSize=28, leading=34, textColor=INK)
_BIG = ParagraphStyle("big", parent=_BASE, fontName="Helvetica-Bold", fontSize=17, leading=21)


def draw(report: Executive) -> bytes:
    """The pages. Deterministic for one report."""
    out = io.BytesIO()
    document = BaseDocTemplate(
        out,
        pagesize=A4,
        leftMargin=20 * mm,
        rightMargin=20 * mm,
        topMargin=20 * mm,
        bottomMargin=18 * mm,
        title=_plain(report.name),
        author="casb",
        invariant=1,
    )
    frame = Frame(20 * mm, 18 * mm, WIDTH, A4[1] - 38 * mm, 0, 0, 0, 0)
    document.addPageTemplates(
        [
            PageTemplate("cover", [frame], onPage=_cover_edge),
            PageTemplate("page", [frame], onPage=lambda canvas, _: _edge(canvas, report)),
        ]
    )
    document.build(
        [
            *_cover(report),
            NextPageTemplate("page"),
            PageBreak(),
            *_overview(report),
            PageBreak(),
            *_tops(report),
            PageBreak(),
            *_categories(report),
            PageBreak(),
            *_watch(report),
            PageBreak(),
            *_advice(report),
        ]
    )
    return out.getvalue()


def _cover(report: Executive) -> list[Any]:
    period = f"{report.since:%d %B %Y} to {report.until:%d %B %Y}, {report.days} days"
    return [
        Spacer(1, 75 * mm),
        _text(report.name, _TITLE),
        Spacer(1, 6 * mm),
        _text(report.report, _HEAD),
        _text(period, _BASE),
        Spacer(1, 4 * mm),
        _text(
            f"Made {report.made:%Y-%m-%d %H:%M} UTC. Names of people are personal data: keep this to yourself.", _SOFT
        ),
    ]


def _overview(report: Executive) -> list[Any]:
    labels = (("apps", "Apps"), ("users", "Users"), ("ips", "IP addresses"), ("devices", "Devices"))
    volumes = (("total", "Traffic"), ("up", "Uploaded"), ("down", "Downloaded"), ("events", "Transactions"))
    tiles = [
        [_tile(report, name, label, as_size=False) for name, label in labels],
        [_tile(report, name, label, as_size=name != "events") for name, label in volumes],
    ]
    grid = Table(tiles, colWidths=[WIDTH / 4] * 4, rowHeights=24 * mm)
    grid.setStyle(TableStyle([("BOX", (0, 0), (-1, -1), 0.5, LINE), ("INNERGRID", (0, 0), (-1, -1), 0.5, LINE)]))
    return [
        _text("Key figures", _HEAD),
        grid,
        Spacer(1, 6 * mm),
        _text("Traffic by day", _SUB),
        _trend(report),
        _text("Risk mix", _SUB),
        _pies(report),
    ]


def _tops(report: Executive) -> list[Any]:
    users = [[name, f"{apps:,}", size(total), size(up)] for name, apps, total, up in report.top_users]
    return [
        _text("Most used apps", _HEAD),
        _app_table(report.top_apps),
        Spacer(1, 6 * mm),
        _text("Users with most traffic", _HEAD),
        _table(["User", "Apps", "Traffic", "Uploaded"], users, [0.49, 0.13, 0.19, 0.19]),
    ]


def _categories(report: Executive) -> list[Any]:
    story: list[Any] = [_text("Leading categories", _HEAD), _category_bars(report)]
    for each in report.categories:
        apps = [[app.facts.name, f"{app.users:,}", size(app.total)] for app in each.leaders[:5]]
        people = [[name, size(total)] for name, total in each.people[:5]]
        both = Table(
            [
                [
                    _table(["App", "Users", "Traffic"], apps, [0.27, 0.1, 0.13]),
                    _table(["User", "Traffic"], people, [0.32, 0.14]),
                ]
            ],
            colWidths=[WIDTH * 0.52, WIDTH * 0.48],
        )
        both.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]))
        title = f"{CATEGORIES.get(each.id, each.id)}: {each.apps:,} apps, {each.users:,} users, {size(each.total)}"
        story.append(KeepTogether([_text(title, _SUB), both]))
    return story


def _watch(report: Executive) -> list[Any]:
    nothing = _text("None.", _BASE)
    return [
        _text("Risky apps in use", _HEAD),
        _text("High risk, those with most uploads first.", _SOFT),
        _app_table(report.risky_apps) if report.risky_apps else nothing,
        Spacer(1, 6 * mm),
        _text("New apps", _HEAD),
        _text("Not seen in the period before, those with most users first.", _SOFT),
        _app_table(report.new_apps) if report.new_apps else nothing,
    ]


def _advice(report: Executive) -> list[Any]:
    story: list[Any] = [_text("Recommendations", _HEAD)]
    for number, each in enumerate(report.recommendations, 1):
        story += [Paragraph(f"<b>{number}.</b> {_safe(each)}", _BASE), Spacer(1, 3 * mm)]
    return story


def _tile(report: Executive, name: str, label: str, *, as_size: bool) -> list[Any]:
    now, before = report.counters.get(name, (0, 0))
    change = f"{100 * (now - before) / before:+.0f}% on the period before" if before else ""
    return [_text(size(now) if as_size else short(now), _BIG), _text(label, _BASE), _text(change, _SOFT)]


def _trend(report: Executive) -> Drawing:
    made = Drawing(WIDTH, 130)
    plot = LinePlot()
    plot.x, plot.y, plot.width, plot.height = 48, 22, WIDTH - 58, 96
    points = [(index, total / 1024**3) for index, (_, total, _) in enumerate(report.trend)]
    plot.data = [points or [(0, 0)]]
    plot.lines[0].strokeColor = ACCENT
    plot.lines[0].strokeWidth = 1.4
    top = max((value for _, value in points), default=0) or 1
    plot.yValueAxis.valueMin, plot.yValueAxis.valueMax, plot.yValueAxis.valueStep = 0, top * 1.08, top * 1.08 / 3
    plot.yValueAxis.labelTextFormat = lambda value: f"{value:.1f} GB" if top < 10 else f"{value:,.0f} GB"
    steps = sorted({round(index * (len(points) - 1) / 6) for index in range(7)}) if len(points) > 1 else [0]
    plot.xValueAxis.valueSteps = steps
    plot.xValueAxis.labelTextFormat = lambda value: (
        f"{report.trend[int(value)][0]:%d %b}" if 0 <= value < len(report.trend) else ""
    )
    for axis in (plot.xValueAxis, plot.yValueAxis):
        axis.labels.fontName, axis.labels.fontSize, axis.labels.fillColor = "Helvetica", 7, SOFT
        axis.strokeColor = LINE
    plot.yValueAxis.visibleGrid, plot.yValueAxis.gridStrokeColor = 1, LINE
    plot.yValueAxis.gridEnd = WIDTH
    made.add(plot)
    return made


def _pies(report: Executive) -> Drawing:
    made = Drawing(WIDTH, 140)
    for left, title, parts in (
        (30, "Apps", {each: report.risks.get(each, 0) for each in RISKS}),
        (WIDTH / 2 + 10, "Traffic", {each: report.risk_traffic.get(each, 0) for each in RISKS}),
    ):
        shown = {name: value for name, value in parts.items() if value}
        made.add(String(left, 126, title, fontName="Helvetica-Bold", fontSize=9, fillColor=SOFT))
        if not shown:
            continue
        pie = Pie()
        pie.x, pie.y, pie.width, pie.height = left, 8, 108, 108
        pie.data, pie.labels = list(shown.values()), None
        pie.innerRadiusFraction = 0.6
        pie.startAngle, pie.direction = 90, "clockwise"
        pie.slices.strokeColor, pie.slices.strokeWidth = colors.white, 1
        whole = sum(shown.values())
        for index, (name, value) in enumerate(shown.items()):
            pie.slices[index].fillColor = colors.HexColor(RISKS[name])
            y = 92 - 17 * index
            told = f"{name}: {size(value) if title == 'Traffic' else f'{value:,}'} ({100 * value / whole:.0f}%)"
            made.add(String(left + 136, y, told, fontName="Helvetica", fontSize=8.5, fillColor=INK))
            made.add(
                String(left + 124, y - 0.5, "\u2022", fontName="Helvetica-Bold", fontSize=16, fillColor=RISKS[name])
            )
        made.add(pie)
    return made


def _category_bars(report: Executive) -> Drawing:
    rows = list(reversed(report.categories))
    made = Drawing(WIDTH, 26 * max(1, len(rows)) + 30)
    if not rows:
        return made
    chart = HorizontalBarChart()
    chart.x, chart.y, chart.width, chart.height = 110, 22, WIDTH - 125, 26 * len(rows)
    chart.data = [[each.standings.get(kind, 0) / 1024**3 for each in rows] for kind in STANDINGS]
    chart.categoryAxis.style = "stacked"
    chart.categoryAxis.categoryNames = [_plain(CATEGORIES.get(each.id, each.id)) for each in rows]
    chart.valueAxis.valueMin = 0
    chart.valueAxis.labelTextFormat = "%.0f GB"
    chart.barWidth = 12
    for index, color in enumerate(STANDINGS.values()):
        chart.bars[index].fillColor = colors.HexColor(color)
        chart.bars[index].strokeColor = None
    for axis in (chart.categoryAxis, chart.valueAxis):
        axis.labels.fontName, axis.labels.fontSize, axis.labels.fillColor = "Helvetica", 8, SOFT
        axis.strokeColor = LINE
    made.add(chart)
    for index, (name, color) in enumerate(STANDINGS.items()):
        x = 110 + index * 90
        made.add(String(x, 26 * len(rows) + 23, "\u2022", fontName="Helvetica-Bold", fontSize=16, fillColor=color))
        made.add(String(x + 10, 26 * len(rows) + 25, name, fontName="Helvetica", fontSize=8, fillColor=SOFT))
    return made


def _app_table(apps: Sequence[AppUsage]) -> Table:
    rows = [
        [
            app.facts.name,
            CATEGORIES.get(app.facts.category, app.facts.category),
            "-" if app.facts.score is None else f"{app.facts.score:.0f}",
            app.facts.tag if app.facts.tag != "none" else "",
            f"{app.users:,}",
            size(app.total),
            size(app.up),
        ]
        for app in apps
    ]
    heads = ["App", "Category", "Score", "Tag", "Users", "Traffic", "Uploaded"]
    return _table(heads, rows, [0.24, 0.22, 0.07, 0.13, 0.09, 0.125, 0.125], risks=[app.facts.risk for app in apps])


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], *, risks: Sequence[str] = ()
) -> Table:
    numbers = {"Apps", "Users", "Traffic", "Uploaded", "Score"}
    body = [[_text(cell, _cell(heads[column] in numbers)) for column, cell in enumerate(row)] for row in rows]
    made = Table(
        [[_text(each, _cell(each in numbers, head=True)) for each in heads], *body],
        colWidths=[WIDTH * share for share in widths],
        repeatRows=1,
        hAlign="LEFT",
    )
    style: list[Any] = [
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ]
    for index, risk in enumerate(risks, 1):
        style.append(("LINEBEFORE", (2, index), (2, index), 3, colors.HexColor(RISKS[risk])))
    made.setStyle(TableStyle(style))
    return made


def _cell(number: bool, *, head: bool = False) -> ParagraphStyle:
    # Long names without a space break where they must instead of running over the next column.
    return ParagraphStyle(
        "cell",
        parent=_SOFT if head else _BASE,
        fontSize=8.2,
        leading=10.5,
        alignment=2 if number else 0,
        splitLongWords=1,
        wordWrap="CJK" if not number else None,
    )


def _cover_edge(canvas: Any, document: Any) -> None:
    canvas.setFillColor(ACCENT)
    canvas.rect(0, A4[1] - 14 * mm, A4[0], 14 * mm, stroke=0, fill=1)


def _edge(canvas: Any, report: Executive) -> None:
    canvas.setFont("Helvetica", 7.5)
    canvas.setFillColor(SOFT)
    canvas.drawString(20 * mm, 10 * mm, _plain(f"{report.name} - {report.report}")[:110])
    canvas.drawRightString(A4[0] - 20 * mm, 10 * mm, str(canvas.getPageNumber()))


def _text(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(_safe(text), style)


def _safe(text: str) -> str:
    return escape(_plain(text), quote=False)


def _plain(text: str) -> str:
    """What the standard fonts of PDF can write; the rest becomes a question mark."""
    shown = "".join(char if char.isprintable() else " " for char in text[:1000])
    return shown.encode("cp1252", "replace").decode("cp1252")
