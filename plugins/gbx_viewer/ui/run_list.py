"""The list of runs: two lines each, a dot for the standing, a sparkline of S_noneq over age."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import (
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPolygonF
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from gbx_beamline.errors import InputError
from gbx_viewer.model import saying
from gbx_viewer.model.filtering import EXAMPLE, Filter
from gbx_viewer.model.queue import Queue
from gbx_viewer.model.runs import RunRow, Status
from gbx_viewer.ui.panel import Elided, Panel
from gbx_viewer.ui.theme import LIGHT, Theme, font

_Index = QModelIndex | QPersistentModelIndex
_PAD = 10


class RunModel(QAbstractListModel):
    """Rows as the view asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[RunRow] = []
        self._places: dict[str, int] = {}

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802
        """How many."""
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """The row itself for the delegate; words for tool tips and screen readers."""
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.UserRole:
            return row
        if role == Qt.ItemDataRole.ToolTipRole:
            return saying.tip(row)
        return saying.line(row) if role == Qt.ItemDataRole.DisplayRole else None

    def show(self, rows: Sequence[RunRow]) -> None:
        """Replace the rows; the view is told as little as possible, so that its place and selection stay."""
        before, after = self.rows, list(rows)
        new = len(after) - len(before)
        if new >= 0 and [row.uid for row in after[new:]] == [row.uid for row in before]:
            if new:
                self.beginInsertRows(QModelIndex(), 0, new - 1)
                self._take(after)
                self.endInsertRows()
            else:
                self._take(after)
            changed = [place for place, row in enumerate(before, new) if row is not after[place]]
            if changed:
                self.dataChanged.emit(self.index(changed[0]), self.index(changed[-1]))
            return
        self.beginResetModel()
        self._take(after)
        self.endResetModel()

    def place(self, uid: str) -> QModelIndex:
        """Where a run is; an invalid index where it is not shown."""
        return self.index(self._places[uid]) if uid in self._places else QModelIndex()

    def _take(self, rows: list[RunRow]) -> None:
        self.rows = rows
        self._places = {row.uid: place for place, row in enumerate(rows)}


class RunDelegate(QStyledItemDelegate):
    """Paints a row."""

    def __init__(self) -> None:
        super().__init__()
        self.theme: Theme = LIGHT
        self.marked: set[str] = set()
        """uids under comparison."""

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:  # noqa: ARG002, N802
        """All rows have one height."""
        return QSize(200, round(46 * self.theme.scale))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        """Two lines, dot and sparkline."""
        row: RunRow = index.data(Qt.ItemDataRole.UserRole)
        theme = self.theme
        place: QRect = option.rect  # type: ignore[attr-defined]
        state: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(place, QColor(theme.raised))
            painter.fillRect(QRect(place.left(), place.top(), 3, place.height()), QColor(theme.accent))
        painter.fillRect(QRect(place.left(), place.bottom(), place.width(), 1), QColor(theme.line))
        inner = place.adjusted(_PAD + 2, 5, -_PAD, -5)
        self._dot(painter, row, inner)
        text = inner.adjusted(16, 0, 0, 0)
        upper = QRect(text.left(), text.top(), text.width(), text.height() // 2)
        lower = QRect(text.left(), text.top() + text.height() // 2, text.width(), text.height() - text.height() // 2)
        right = saying.moment(row.started)
        warm = saying.kelvin(row.temperature)
        painter.setFont(font(theme, 10, bold=True))
        self._write(painter, upper, row.sample or "unnamed sample", theme.ink, f"{warm}  {right}")
        self._below(painter, row, lower)
        painter.restore()

    def _below(self, painter: QPainter, row: RunRow, place: QRect) -> None:
        theme, roi = self.theme, row.headline
        painter.setFont(font(theme, 9))
        ages = [(age, value) for age, value, *_ in roi.by_age if math.isfinite(value)] if roi is not None else []
        room = round(64 * theme.scale)
        if len(ages) > 1 and place.width() > 3 * room:
            spark = QRect(place.right() - room, place.top() + 1, room, place.height() - 2)
            _sparkline(painter, spark, ages, QColor(theme.accent), QColor(theme.line))
            place = place.adjusted(0, 0, -room - 8, 0)
        words, colour = saying.second_line(row), theme.quiet
        if row.status in (Status.FAILED, Status.UNREADABLE, Status.STALE):
            colour = theme.of_status(row.status)
        self._write(painter, place, words, colour, "")

    def _dot(self, painter: QPainter, row: RunRow, inner: QRect) -> None:
        theme = self.theme
        middle = QPointF(inner.left() + 4, inner.top() + inner.height() * 0.26)
        colour = QColor(theme.of_status(row.status))
        hollow = row.status in (Status.WAITING, Status.RUNNING, Status.STALE)
        painter.setPen(colour)
        painter.setBrush(Qt.BrushStyle.NoBrush if hollow else colour)
        # Shapes tell what colours tell, too.
        if row.status in (Status.FAILED, Status.UNREADABLE):
            painter.drawRect(QRectF(middle.x() - 4, middle.y() - 4, 8, 8))
        else:
            painter.drawEllipse(middle, 4.2, 4.2)
        if row.uid in self.marked:
            painter.setBrush(QColor(theme.accent))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.drawRoundedRect(QRectF(inner.left(), inner.top() + inner.height() * 0.6, 8, 8), 2, 2)

    @staticmethod
    def _write(painter: QPainter, place: QRect, words: str, colour: str, right: str) -> None:
        metrics: QFontMetrics = painter.fontMetrics()
        taken = metrics.horizontalAdvance(right) + 10 if right else 0
        painter.setPen(QColor(colour))
        shown = metrics.elidedText(words, Qt.TextElideMode.ElideRight, place.width() - taken)
        painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, shown)
        if right:
            painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, right)


def _sparkline(
    painter: QPainter, place: QRect, points: Sequence[tuple[float, float]], colour: QColor, ground: QColor
) -> None:
    """S_noneq over age, always from 0 to 1 so that rows compare."""
    first, last = points[0][0], points[-1][0]

    def at(age: float, value: float) -> QPointF:
        across = (age - first) / max(last - first, 1e-9)
        up = min(max(value, 0.0), 1.0)
        return QPointF(place.left() + across * (place.width() - 4), place.bottom() - 1 - up * (place.height() - 3))

    painter.setPen(ground)
    painter.drawLine(QPointF(place.left(), place.bottom()), QPointF(place.right(), place.bottom()))
    pen = painter.pen()
    pen.setColor(colour)
    pen.setWidthF(1.6)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPolyline(QPolygonF([at(*point) for point in points]))
    painter.setBrush(colour)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawEllipse(at(*points[-1]), 2.2, 2.2)


class RunList(Panel):
    """The list with its filter, and the state of the queue below it."""

    chosen = Signal(str)
    """uid of the run that a person chose."""
    compared = Signal(list)
    """uids of several runs that are selected."""

    def __init__(self) -> None:
        super().__init__("Runs", "Looking for runs …")
        self.model, self._delegate = RunModel(), RunDelegate()
        self._all: Sequence[RunRow] = ()
        self._filter = Filter("")
        self.typed = QLineEdit()
        self.typed.setPlaceholderText("Filter: sample, uid, T>400, failed …")
        self.typed.setToolTip(f"All must hold. Examples: {EXAMPLE}")
        self.typed.setClearButtonEnabled(True)
        self.typed.textChanged.connect(self._refilter)
        self._status = QComboBox()
        self._status.addItems(["all", *Status])
        self._status.setMinimumContentsLength(5)
        self._status.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._status.currentIndexChanged.connect(self._refilter)
        self._wrong = Elided("wrong")
        self._wrong.hide()
        self.view = QListView()
        self.view.setModel(self.model)
        self.view.setItemDelegate(self._delegate)
        self.view.setUniformItemSizes(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.selectionModel().selectionChanged.connect(self._selected)
        self._nothing = QLabel("")
        self._nothing.setObjectName("calm")
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._nothing.setWordWrap(True)
        self._foot = Elided()
        self.queue = QLabel()
        self.queue.setObjectName("quiet")
        self.queue.setWordWrap(True)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 4, 0, 8)
        row = QHBoxLayout()
        row.setContentsMargins(10, 0, 10, 0)
        row.addWidget(self.typed, 1)
        row.addWidget(self._status)
        layout.addLayout(row)
        for widget in (self._wrong, self._nothing, self.view, self._foot, self.queue):
            layout.addWidget(widget, 1 if widget is self.view else 0)
        for text in (self._wrong, self._foot, self.queue):
            text.setContentsMargins(12, 0, 10, 0)
        self.hold(content)
        self._quietly = False

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._delegate.theme = theme
        self.view.setItemDelegate(self._delegate)
        self.view.doItemsLayout()

    def show_rows(self, rows: Sequence[RunRow]) -> None:
        """All runs, newest first."""
        self._all = rows
        self._refilter()
        self.content()

    def mark(self, uids: set[str]) -> None:
        """These are under comparison."""
        self._delegate.marked = uids
        self.view.viewport().update()

    def show_queue(self, queue: Queue) -> None:
        """State of the service that analyses."""
        self.queue.setObjectName("quiet" if queue.well else "flag")
        self.queue.style().polish(self.queue)
        self.queue.setText(queue.said)
        self.queue.setToolTip("\n".join([queue.said, *(f"{name}: {said}" for name, said in queue.troubles.items())]))

    def selected(self) -> list[str]:
        """uids of the selected runs, in the order of the list."""
        places = sorted(index.row() for index in self.view.selectedIndexes())
        return [self.model.rows[place].uid for place in places]

    def select(self, uid: str) -> None:
        """Show which run is on screen, without choosing it."""
        index = self.model.place(uid)
        if not index.isValid() or (index == self.view.currentIndex() and self.selected() == [uid]):
            # Whoever has scrolled elsewhere is to stay there.
            return
        self._quietly = True
        selection = self.view.selectionModel()
        selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._quietly = False
        self.view.scrollTo(index)

    def step(self, by: int) -> None:
        """Choose the run some rows further down."""
        current = self.view.currentIndex().row() if self.view.currentIndex().isValid() else -by
        place = min(max(current + by, 0), self.model.rowCount() - 1)
        if self.model.rowCount():
            self.view.setCurrentIndex(self.model.index(place))

    def _refilter(self) -> None:
        try:
            self._filter = Filter(self.typed.text())
            self._wrong.hide()
        except InputError as error:
            self._wrong.say(f"{error.found}? {error.needed}")
            self._wrong.show()
        status = self._status.currentText()
        rows = [row for row in self._all if (status in ("all", row.status)) and self._filter(row)]
        selected = self.selected()
        self._quietly = True
        self.model.show(rows)
        if selected and not self.view.selectedIndexes():
            selection = self.view.selectionModel()
            for uid in selected:
                selection.select(self.model.place(uid), QItemSelectionModel.SelectionFlag.Select)
        self._quietly = False
        self._tell(rows)

    def _tell(self, rows: Sequence[RunRow]) -> None:
        self.note.say(saying.counts(self._all))
        self._foot.say("" if len(rows) == len(self._all) else f"{len(rows)} of {len(self._all)} pass the filter")
        self._foot.setVisible(len(rows) != len(self._all))
        nothing = ""
        if not self._all:
            nothing = "No runs in this catalog so far. They appear here by themselves; `gbx demo` makes some."
        elif not rows:
            nothing = "No run passes the filter."
        self._nothing.setText(nothing)
        self._nothing.setVisible(bool(nothing))

    def _selected(self) -> None:
        if self._quietly:
            return
        uids = self.selected()
        if len(uids) == 1:
            self.chosen.emit(uids[0])
        elif uids:
            self.compared.emit(uids)
