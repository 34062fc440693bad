"""The benchmark: tasks, entrants, measurements, records, and the board that they make."""

from elfzoo.benchmark.board import board, tables
from elfzoo.benchmark.entrant import Entrant, load_entrant, prediction_files
from elfzoo.benchmark.few_shot_task import FewShotTask
from elfzoo.benchmark.pairs import comparison
from elfzoo.benchmark.plan import Benchmark
from elfzoo.benchmark.record import environment, read_record, read_records, record_path, write_json
from elfzoo.benchmark.runner import run
from elfzoo.benchmark.speed_task import SpeedTask
from elfzoo.benchmark.task import AnyTask, Task, find_task, list_tasks, select

__all__ = [
    "AnyTask",
    "Benchmark",
    "Entrant",
    "FewShotTask",
    "SpeedTask",
    "Task",
    "board",
    "comparison",
    "environment",
    "find_task",
    "list_tasks",
    "load_entrant",
    "prediction_files",
    "read_record",
    "read_records",
    "record_path",
    "run",
    "select",
    "tables",
    "write_json",
]
