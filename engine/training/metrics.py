"""The log of a run: metrics.csv, and TensorBoard events where TensorBoard is installed."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.training.trainer import StepReport

STEP = ("step", "loss", "lr", "grad_norm", "step_s", "wait_s", "samples_per_s", "gpu_gib")
COLUMNS = (*STEP, "psnr_db", "psnr_human_db", "swap_db", "swap_human_db")


class Log:
    """Appends to the files of a run; rows past the step it goes on from are dropped first."""

    def __init__(self, run: Path, step: int) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._path = run / "metrics.csv"
        rows = []
        if self._path.is_file():
            with self._path.open(newline="", encoding="utf-8") as stream:
                rows = [row for row in csv.DictReader(stream) if int(row["step"]) <= step]
        self._stream = self._path.open("w", newline="", encoding="utf-8")
        self._table: csv.DictWriter[str] = csv.DictWriter(self._stream, COLUMNS)
        self._table.writeheader()
        self._table.writerows(rows)
        self._board = _board(run, step)

    def step(self, report: "StepReport") -> None:
        """Write down a step."""
        values = vars(report)
        self._table.writerow({name: f"{value:.6g}" for name, value in values.items()})
        self._stream.flush()
        self._tell(report.step, {name: value for name, value in values.items() if name != "step"})

    def validation(self, step: int, measured: dict[str, float]) -> None:
        """Write down a look at held-out clips."""
        self._table.writerow({"step": step, **{name: f"{value:.3f}" for name, value in measured.items()}})
        self._stream.flush()
        self._tell(step, measured)

    def _tell(self, step: int, values: dict[str, float]) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """End the files."""
        self._stream.close()
        if self._board is not None:
            self._board.close()


def _board(run: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "events"), purge_step=step + 1)
